// No dead exports: what src/ and shards/ export is imported somewhere, at least by tests. A type
// may be exported for the signatures of its own file, and a named number for consistency with its
// family, as long as the file itself uses it.

import path from 'node:path'
import { ENTRY_FILES } from './policy.ts'
import { type Finding, type Source, lineAt } from './source.ts'

const DECLARED = new RegExp([
  String.raw`^export\s+(?:declare\s+)?(?:(type|interface)|(?:abstract\s+)?class|(?:async\s+)?`,
  String.raw`function\*?|const|let|var)\s+(\w+)`,
].join(''), 'gm')
const LISTED = /^export\s+(type\s+)?\{([^}]*)\}/gm
const DEFAULT = /^export\s+default\b/gm

/** One exported name. */
interface Export {
  readonly name: string
  readonly isType: boolean
  readonly line: number
}

function exportsOf(source: Source): Export[] {
  const { code } = source
  const found: Export[] = []
  for (const match of code.matchAll(DECLARED)) {
    const line = lineAt(code, match.index)
    found.push({ name: match[2] ?? '', isType: match[1] !== undefined, line })
  }
  for (const match of code.matchAll(LISTED)) {
    const line = lineAt(code, match.index)
    for (const item of (match[2] ?? '').split(',')) {
      const name = item.trim().split(/\s+as\s+/).at(-1)?.replace(/^type\s+/, '') ?? ''
      if (name !== '') found.push({ name, isType: match[1] !== undefined, line })
    }
  }
  for (const match of code.matchAll(DEFAULT)) {
    found.push({ name: 'default', isType: false, line: lineAt(code, match.index) })
  }
  return found
}

const STATIC = /(?:^|[;\n])[ \t]*(import|export)\b([^;'"`()]*?)\bfrom\s*(['"])([^'"]+)\3/g
const DYNAMIC = /\bimport\s*\(\s*(['"])([^'"]+)\1\s*\)/g

/** An import of a file of the project, or a re-export. */
interface ImportSite {
  /** Relative to the project. */
  readonly target: string
  /** The text between `import` and `from`; undefined for a dynamic import. */
  readonly clause: string | undefined
}

/** The imports of a file, in no particular order; a side-effect import is not included. */
function importsOf(source: Source): ImportSite[] {
  const text = source.uncommented
  const site = (specifier: string, clause?: string): ImportSite => ({
    target: path.posix.join(path.posix.dirname(source.path), specifier), clause,
  })
  const isFile = ({ 0: whole }: RegExpExecArray): boolean => /['"]\./.test(whole)
  return [
    ...[...text.matchAll(STATIC)].filter(isFile).map((match) => site(match[4] ?? '', match[2])),
    ...[...text.matchAll(DYNAMIC)].filter(isFile).map((match) => site(match[2] ?? '')),
  ]
}

const WHOLE = '*'
const NAMED_NUMBER = /^[A-Z][A-Z0-9_]*$/

/** The names that a file imports from others: target file → names; `*` for all of them. */
function takenBy(source: Source): ReadonlyArray<readonly [string, readonly string[]]> {
  return importsOf(source).map(({ target, clause }) => {
    if (clause === undefined) return [target, [WHOLE]] as const
    const names: string[] = []
    const space = /\*\s*as\s+(\w+)/.exec(clause)?.[1]
    if (space !== undefined) {
      const member = new RegExp(`\\b${space}\\s*\\.\\s*(\\w+)`, 'g')
      for (const [, name] of source.code.matchAll(member)) names.push(name ?? '')
    } else if (clause.includes(WHOLE)) names.push(WHOLE)
    const braces = /\{([^}]*)\}/.exec(clause)
    for (const item of braces?.[1]?.split(',') ?? []) {
      names.push(item.trim().replace(/^type\s+/, '').split(/\s+as\s+/)[0] ?? '')
    }
    const beforeBraces = clause.slice(0, braces?.index ?? clause.length).replace(/^\s*type\b/, '')
    if (space === undefined && /\w/.test(beforeBraces)) names.push('default')
    return [target, names] as const
  })
}

/** Checks all files together. */
export function deadExports(sources: readonly Source[]): Finding[] {
  const taken = new Map<string, Set<string>>()
  for (const source of sources) {
    for (const [target, names] of takenBy(source)) {
      const set = taken.get(target) ?? new Set()
      for (const name of names) set.add(name)
      taken.set(target, set)
    }
  }
  return sources
    .filter((source) => /^(src|shards)\//.test(source.path) && !ENTRY_FILES.has(source.path))
    .flatMap((source) => {
      const names = taken.get(source.path)
      if (names?.has(WHOLE) === true) return []
      return exportsOf(source)
        .filter(({ name, isType }) => names?.has(name) !== true &&
          !((isType || NAMED_NUMBER.test(name)) && usedInside(source, name)))
        .map(({ name, line }) => ({
          path: source.path, line, rule: 'dead-export',
          message: `nothing imports ${name}; drop the word export, or the whole of it`,
        }))
    })
}

/** Whether a name is used in its own file besides its declaration. */
function usedInside(source: Source, name: string): boolean {
  return [...source.code.matchAll(new RegExp(`\\b${name}\\b`, 'g'))].length > 1
}
