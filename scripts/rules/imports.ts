// Who may import what: the directions between folders, the homes of packages, and the pure files.

import path from 'node:path'
import { BENCH_DOOR, HOMES, PURE, SHARDS_FOR_JOURNAL, SHARDS_FOR_SRC } from './policy.ts'
import { type Finding, type Source, lineAt } from './source.ts'

/** One import, re-export or dynamic import. */
export interface ImportSite {
  readonly specifier: string
  /** Relative to the project for a file of it, as written for a package. */
  readonly target: string
  readonly isFile: boolean
  readonly typeOnly: boolean
  /** What stands between `import` and `from`; undefined for a dynamic or bare import. */
  readonly clause: string | undefined
  readonly line: number
}

const STATIC = /(?:^|[;\n])[ \t]*(import|export)\b([^;'"`()]*?)\bfrom\s*(['"])([^'"]+)\3/g
const BARE = /(?:^|[;\n])[ \t]*import\s*(['"])([^'"]+)\1/g
const DYNAMIC = /\b(typeof\s+)?import\s*\(\s*(['"])([^'"]+)\2\s*\)(\s*\.\s*[A-Z])?/g

/** All imports of a file, in no particular order. */
export function importsOf(source: Source): ImportSite[] {
  const text = source.uncommented
  const site = (
    specifier: string, offset: number, typeOnly: boolean, clause?: string,
  ): ImportSite => {
    const isFile = specifier.startsWith('.')
    const target = isFile
      ? path.posix.join(path.posix.dirname(source.path), specifier) : specifier
    return { specifier, target, isFile, typeOnly, clause, line: lineAt(text, offset) }
  }
  const sites: ImportSite[] = []
  for (const match of text.matchAll(STATIC)) {
    const clause = match[2] ?? ''
    sites.push(site(match[4] ?? '', match.index + 1, isTypeOnly(clause), clause))
  }
  for (const match of text.matchAll(BARE)) sites.push(site(match[2] ?? '', match.index + 1, false))
  for (const match of text.matchAll(DYNAMIC)) {
    // `import('x').Type` in a type position is followed by a capital letter.
    const typeOnly = match[1] !== undefined || match[4] !== undefined
    sites.push(site(match[3] ?? '', match.index, typeOnly))
  }
  return sites
}

/** `import type {…}`, or every name in the braces is a type. */
function isTypeOnly(clause: string): boolean {
  if (/^\s*type\b(?!\s*,)/.test(clause)) return true
  const names = /^\s*\{([^}]*)\}\s*$/.exec(clause)?.[1]
  if (names === undefined) return false
  const list = names.split(',').map((name) => name.trim()).filter((name) => name !== '')
  return list.length > 0 && list.every((name) => name.startsWith('type '))
}

/** The rule for every import of a file. */
export function importRules(source: Source): Finding[] {
  return importsOf(source).flatMap((site) => {
    const message = direction(source.path, site) ?? home(source.path, site) ??
      purity(source.path, site)
    return message === undefined ? []
      : [{ path: source.path, line: site.line, rule: 'import', message }]
  })
}

function direction(from: string, { target, isFile, specifier }: ImportSite): string | undefined {
  if (!isFile) {
    const isNode = specifier.startsWith('node:')
    return !isNode && NODE_MODULES.has(specifier) ? `write node:${specifier}` : undefined
  }
  if (!/\.(ts|json)$/.test(target)) return `${specifier} lacks its ending .ts`
  const folder = from.split('/')[0]
  const targetFolder = target.split('/')[0]
  if (folder === 'shards' && targetFolder !== 'shards') {
    return `shards imports nothing of ${targetFolder}`
  }
  if (folder === 'src' && targetFolder === 'shards') {
    const name = path.posix.basename(target, '.ts')
    const mayBe = SHARDS_FOR_SRC.has(name) ||
      (from.startsWith('src/journal/') && SHARDS_FOR_JOURNAL.has(name))
    if (!mayBe) return `src may not import shards/${name}.ts`
  }
  if (targetFolder === 'bench' && BENCH_DOOR.test(from)) return undefined
  if (folder === 'src' && ['test', 'bench', 'scripts'].includes(targetFolder ?? '')) {
    return `src imports nothing of ${targetFolder}`
  }
  return undefined
}

function home(from: string, { specifier, typeOnly }: ImportSite): string | undefined {
  if (typeOnly || !/^(src|shards)\//.test(from)) return undefined
  for (const [module, allowed, where] of HOMES) {
    if (module.test(specifier) && !allowed.test(from)) return `${specifier} belongs in ${where}`
  }
  return undefined
}

function purity(from: string, { isFile, target, typeOnly, specifier }: ImportSite):
  string | undefined {
  if (!PURE.has(from) || typeOnly) return undefined
  if (!isFile) return `a pure file imports no module: ${specifier}`
  return target === 'shards/clock.ts' ? 'a pure file takes the time as an argument' : undefined
}

/** Those that are easily written without their prefix. */
const NODE_MODULES: ReadonlySet<string> = new Set([
  'assert', 'buffer', 'child_process', 'crypto', 'events', 'fs', 'http', 'https', 'net', 'os',
  'path', 'process', 'stream', 'test', 'timers', 'tls', 'url', 'util', 'worker_threads', 'zlib',
])
