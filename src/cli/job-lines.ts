// Reads jobs as JSON lines from a stream of bytes. A line is passed on unparsed, so that nothing in
// it changes, and an invalid one is reported with its number.

/** A line that is not empty; empty lines are counted too, from 1. */
export type JobLine =
  { readonly number: number; readonly text: string } |
  { readonly number: number; readonly fault: string }

/** Longer than any job, in any notation, with the largest body that a server can accept. */
export const LINE_BYTES_MAX = 64 * 1024 * 1024
const LINE_FEED = 0x0a

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const BYTE_ORDER_MARK = '\ufeff'

/** The lines, as they arrive; only the incomplete line is buffered. */
export async function* jobLines(chunks: AsyncIterable<Uint8Array>): AsyncIterable<JobLine> {
  const line = new OpenLine()
  for await (const chunk of chunks) {
    let from = 0
    for (;;) {
      const at = chunk.indexOf(LINE_FEED, from)
      line.add(chunk.subarray(from, at < 0 ? chunk.length : at))
      if (at < 0) break
      const whole = line.end()
      if (whole !== undefined) yield whole
      from = at + 1
    }
  }
  const last = line.end()
  if (last !== undefined) yield last
}

/** The incomplete line. */
class OpenLine {
  #parts: Uint8Array[] = []
  #bytes = 0
  #number = 1

  add(part: Uint8Array): void {
    this.#bytes += part.length
    if (this.#bytes <= LINE_BYTES_MAX) this.#parts.push(part)
    else this.#parts = []
  }

  /** The complete line; undefined when it is empty. */
  end(): JobLine | undefined {
    const number = this.#number++
    const isTooLong = this.#bytes > LINE_BYTES_MAX
    const bytes = Buffer.concat(this.#parts)
    this.#parts = []
    this.#bytes = 0
    if (isTooLong) return { number, fault: `the line has more than ${LINE_BYTES_MAX} bytes` }
    let text: string
    try {
      text = utf8.decode(bytes)
    } catch {
      return { number, fault: 'the line is not UTF-8' }
    }
    if (number === 1 && text.startsWith(BYTE_ORDER_MARK)) text = text.slice(1)
    text = text.trim()
    if (text === '') return undefined
    return isObject(text) ? { number, text } : { number, fault: 'the line is not a JSON object' }
  }
}

function isObject(text: string): boolean {
  try {
    JSON.parse(text)
    return text.startsWith('{')
  } catch {
    return false
  }
}

/**
 * A job's JSON text with additional fields, which override those of the same names.
 * ('{"a":1}', '"ref":2') → '{"a":1,"ref":2}'
 */
export const withFields = (text: string, fields: string): string =>
  `${text.slice(0, -1)}${/^\{\s*\}$/.test(text) ? '' : ','}${fields}}`
