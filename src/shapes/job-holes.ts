// The positions of a submitted job's key and body in its bytes. Everything around these two holes
// is the job's shape (shapes.ts), which is the same for the jobs of one caller.

const NOTHING = Buffer.alloc(0)
/** Odd, so that callers stay distinct (Knuth's multiplicative hash). */
const CALLER_SPREAD = 0x9e3779b1

/** The holes of one job; one object is reused from job to job. */
export class JobHoles {
  /** Hash of the caller and all bytes outside of the holes; int32. */
  hash = 0
  /** Whose job it is: what the same bytes mean depends on who submits them. See Principal. */
  caller = 0
  /** For the seed of `hash`. */
  callerHash = 0
  /** In JSON text: the key's hole is the first, or the only one. */
  isKeyFirst = true
  /** The text around the holes: 0 … firstTo, secondFrom … secondTo, thirdFrom … end. */
  firstTo = 0
  secondFrom = 0
  secondTo = 0
  thirdFrom = 0
  /** The key's hole (From, To), and in it the key's own bytes (Start, End): plain ASCII. */
  keyFrom = 0
  keyStart = 0
  keyEnd = 0
  keyTo = 0
  /** The body's hole, if `hasBody`. */
  bodyFrom = 0
  bodyTo = 0
  hasBody = false
  /** The body: bytes bodyStart … bodyEnd of `body`, valid until the next job is scanned. */
  body: Buffer = NOTHING
  bodyStart = 0
  bodyEnd = 0
  /** The body is ASCII only, so it need not be checked to be UTF-8. */
  isAscii = true

  /** To be called before a scan. */
  setCaller(caller: number): void {
    this.caller = caller
    this.callerHash = Math.imul(caller, CALLER_SPREAD)
  }

  get bodyBytes(): number {
    return this.bodyEnd - this.bodyStart
  }

  setKey(from: number, start: number, end: number, to: number): void {
    this.keyFrom = from
    this.keyStart = start
    this.keyEnd = end
    this.keyTo = to
  }

  /** Sets the spans around the holes of a text; false when one hole is inside the other. */
  setAround(textBytes: number): boolean {
    const { bodyFrom, bodyTo, keyFrom, keyTo } = this
    const isKeyFirst = !this.hasBody || keyTo <= bodyFrom
    if (!isKeyFirst && bodyTo > keyFrom) return false
    this.isKeyFirst = isKeyFirst
    this.firstTo = isKeyFirst ? keyFrom : bodyFrom
    this.secondFrom = isKeyFirst ? keyTo : bodyTo
    this.secondTo = !this.hasBody ? textBytes : isKeyFirst ? bodyFrom : keyFrom
    this.thirdFrom = !this.hasBody ? textBytes : isKeyFirst ? bodyTo : keyTo
    return true
  }

  /** The length of a text without its holes. @param textBytes the length of all of it. */
  bytesAround(textBytes: number): number {
    return this.firstTo + this.secondTo - this.secondFrom + textBytes - this.thirdFrom
  }

  setNoBody(): void {
    this.bodyStart = 0
    this.bodyEnd = 0
    this.hasBody = false
    this.isAscii = true
    this.body = NOTHING
  }

  /** Sets the hole; setText() sets its content. */
  setBody(from: number, to: number): void {
    this.hasBody = true
    this.bodyFrom = from
    this.bodyTo = to
  }

  setText(body: Buffer, start: number, end: number, isAscii: boolean): void {
    this.body = body
    this.bodyStart = start
    this.bodyEnd = end
    this.isAscii = isAscii
  }
}
