// Rules about the project as a whole: its top-level names, the content of the lock file, and
// whether the files that the policy lists exist.

import {
  BENCH_FILES, ENTRY_FILES, LOADER_HOMES, PURE, THROW_HOMES, TIME_HOMES, TOP_LEVEL,
  TOP_LEVEL_IGNORED,
} from './policy.ts'
import type { Finding } from './source.ts'

/** Only known names at the top level. */
export function topLevel(names: readonly string[]): Finding[] {
  return names
    .filter((name) => !name.startsWith('.') && !TOP_LEVEL.has(name) && !TOP_LEVEL_IGNORED.has(name))
    .map((name) => ({ path: name, line: 1, rule: 'top-level', message: 'does not belong here' }))
}

/** The lock file has hashes only; the registry is the installing machine's own choice. */
export function lockFile(text: string): Finding[] {
  return text.split('\n').flatMap((line, index) => /"resolved"|https?:\/\/[^"]*\.tgz/.test(line)
    ? [{ path: 'package-lock.json', line: index + 1, rule: 'lock-file',
      message: 'names a registry host; .npmrc sets omit-lockfile-registry-resolved' }]
    : [])
}

/** The product is TypeScript; a file with another ending would pass by the rules. */
export function otherLanguage(paths: readonly string[]): Finding[] {
  return paths.filter((path) => /^(src|shards)\/.*\.(mts|tsx|jsx|[cm]?js)$/.test(path))
    .map((path) => ({ path, line: 1, rule: 'language', message: 'not a .ts or .cts file' }))
}

/** A listed file that does not exist is a stale exception. */
export function stalePolicy(paths: ReadonlySet<string>): Finding[] {
  const listed = [...PURE, ...ENTRY_FILES, ...LOADER_HOMES, ...THROW_HOMES, ...TIME_HOMES,
    ...BENCH_FILES]
  return listed.filter((path) => !paths.has(path))
    .map((path) => ({ path: 'scripts/rules/policy.ts', line: 1, rule: 'stale-policy',
      message: `${path} does not exist` }))
}
