// Rules about a file's form: line width, header, name, leftover notes. The lengths of files and
// functions are checked by oxlint.

import { LINE_CHARS_MAX } from './policy.ts'
import { type Finding, type Source, findAll } from './source.ts'

/** At most 100 columns, no tabs, no blanks at a line's end. */
export function lineWidth(source: Source): Finding[] {
  const findings: Finding[] = []
  source.text.split('\n').forEach((line, index) => {
    const report = (message: string): void => {
      findings.push({ path: source.path, line: index + 1, rule: 'line-width', message })
    }
    // By code points: an arrow or an ellipsis is one column wide.
    const columns = [...line].length
    if (columns > LINE_CHARS_MAX) report(`${columns} columns; at most ${LINE_CHARS_MAX}`)
    if (/\t/.test(line)) report('a tab; two spaces indent')
    if (/[ \r]$/.test(line)) report('blanks at the end of the line')
  })
  return findings
}

/** A file begins with a comment on its purpose; in shards/ also on its thread and its memory. */
export function header(source: Source): Finding[] {
  const first = /^(?:#!.*\n)?((?:\/\/.*\n)+|\/\*[\s\S]*?\*\/)/.exec(source.text)?.[1]
  const report = (message: string): Finding[] =>
    [{ path: source.path, line: 1, rule: 'header', message }]
  if (first === undefined) return report('the file does not open with a comment')
  if (!source.path.startsWith('shards/')) return []
  return ['Thread:', 'Memory:'].filter((word) => !first.includes(word))
    .flatMap((word) => report(`the first comment has no "${word}"`))
}

const VAGUE_NAME = /(^|[-./])(utils?|common|helpers?|managers?)([-.]|$)/

/** kebab-case, and a name that describes the content. */
export function fileName(source: Source): Finding[] {
  const name = source.path.split('/').at(-1) ?? ''
  const report = (message: string): Finding[] =>
    [{ path: source.path, line: 1, rule: 'file-name', message }]
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.c?ts$/.test(name)) return report('not in kebab-case')
  return VAGUE_NAME.test(name) ? report('a name for anything; say what it holds') : []
}

/** No notes to oneself in comments. */
export function leftoverNote(source: Source): Finding[] {
  return findAll(source, source.comments, /\b(TODO|FIXME|XXX)\b/g, 'leftover-note',
    ([word]) => `${word}: do it or drop it`)
}
