// A source file for the rules: its text, and copies with comments or strings blanked out, so that a
// rule about code does not match words in a sentence. Lines and columns are the same in all copies.

/** A violation of a rule, and its place. */
export interface Finding {
  readonly path: string
  /** Counted from 1. */
  readonly line: number
  readonly rule: string
  readonly message: string
}

/** A file and its copies, all of the same length. */
export interface Source {
  /** Relative to the project, with slashes. */
  readonly path: string
  readonly text: string
  /** Comments blanked. */
  readonly uncommented: string
  /** Comments and the contents of strings, templates and regular expressions blanked. */
  readonly code: string
  /** Only the comments. */
  readonly comments: string
}

type Kind = 'code' | 'comment' | 'string'

/** Builds the copies. Understands TypeScript's tokens as far as comments and quotes need it. */
export function readSource(path: string, text: string): Source {
  const kinds = classify(text)
  const keep = (...kept: Kind[]): string => {
    let view = ''
    for (let at = 0; at < text.length; at++) {
      const char = text[at] as string
      view += char === '\n' || kept.includes(kinds[at] as Kind) ? char : ' '
    }
    return view
  }
  return {
    path, text,
    uncommented: keep('code', 'string'), code: keep('code'), comments: keep('comment'),
  }
}

/** Findings for every match of a pattern in one of the copies. */
export function findAll(
  source: Source, view: string, pattern: RegExp, rule: string,
  message: (match: RegExpExecArray) => string | undefined,
): Finding[] {
  const findings: Finding[] = []
  for (const match of view.matchAll(pattern)) {
    const text = message(match)
    if (text === undefined) continue
    findings.push({ path: source.path, line: lineAt(view, match.index), rule, message: text })
  }
  return findings
}

/** The line of an offset, from 1. */
export function lineAt(text: string, offset: number): number {
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) {
    line++
  }
  return line
}

/** After these, a slash begins a regular expression; after a value, it divides. */
const BEFORE_REGEX = /(^|[=([{,;:!&|?+\-*%<>~^]|\b(return|typeof|case|in|of|do|else|void|await))$/

/** The kind of every character; quotes count as code, the text between them as string. */
function classify(text: string): Kind[] {
  const kinds: Kind[] = Array.from({ length: text.length }, () => 'code')
  const mark = (from: number, to: number, kind: Kind): number => {
    for (let at = from; at < to; at++) kinds[at] = kind
    return to
  }
  // For each open template: the brace depth of its `${`.
  const templates: number[] = []
  let depth = 0
  let at = 0
  while (at < text.length) {
    const char = text[at]
    const two = text.slice(at, at + 2)
    if (two === '//') at = mark(at, endOf(text, '\n', at), 'comment')
    else if (two === '/*') at = mark(at, endOf(text, '*/', at + 2) + 2, 'comment')
    else if (char === '"' || char === "'") at = mark(at + 1, endOfQuoted(text, at), 'string') + 1
    else if (char === '/' && BEFORE_REGEX.test(codeBefore(text, kinds, at))) {
      at = mark(at + 1, endOfRegex(text, at), 'string') + 1
    } else if (char === '`' || (char === '}' && templates.at(-1) === depth)) {
      if (char === '}') templates.pop()
      const end = endOfTemplate(text, at)
      mark(at + 1, end, 'string')
      if (text[end] === '$') templates.push(depth)
      at = end + (text[end] === '$' ? 2 : 1)
    } else {
      if (char === '{') depth++
      if (char === '}') depth--
      at++
    }
  }
  return kinds
}

const CODE_BEFORE_CHARS = 12

/** The last few characters of code before an offset, without trailing blanks. */
function codeBefore(text: string, kinds: readonly Kind[], at: number): string {
  let end = at
  while (end > 0 && (kinds[end - 1] === 'comment' || /\s/.test(text[end - 1] as string))) end--
  return text.slice(Math.max(0, end - CODE_BEFORE_CHARS), end)
}

function endOf(text: string, what: string, from: number): number {
  const at = text.indexOf(what, from)
  return at === -1 ? text.length : at
}

function endOfQuoted(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== text[start] && text[at] !== '\n') {
    at += text[at] === '\\' ? 2 : 1
  }
  return at
}

/** Where a template, or its part after a `}`, ends: at its backtick or at the next `${`. */
function endOfTemplate(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== '`' && text.slice(at, at + 2) !== '${') {
    at += text[at] === '\\' ? 2 : 1
  }
  return at
}

function endOfRegex(text: string, start: number): number {
  let at = start + 1
  let inClass = false
  while (at < text.length && text[at] !== '\n' && (inClass || text[at] !== '/')) {
    if (text[at] === '[') inClass = true
    if (text[at] === ']') inClass = false
    at += text[at] === '\\' ? 2 : 1
  }
  return at
}
