// Calls that are restricted to certain files: time, randomness, errors.

import { LOADER_HOMES, OUTSIDE_PRODUCT, THROW_HOMES, TIME_HOMES } from './policy.ts'
import { type Finding, type Source, findAll } from './source.ts'

/** Math.random cannot be seeded, so a failing run could not be repeated. */
export function randomness(source: Source): Finding[] {
  return findAll(source, source.code, /\bMath\s*\.\s*random\b/g, 'randomness',
    () => 'Math.random; take a Prng, or node:crypto for secrets')
}

const TIME_CALLS = new RegExp([
  String.raw`\bDate\s*\.\s*now\b`, String.raw`\bnew\s+Date\s*\(\s*\)`,
  String.raw`\bperformance\s*\.\s*now\b`, String.raw`\bhrtime\b`,
  String.raw`\b(?:setTimeout|setInterval)\s*\(`, String.raw`\bAbortSignal\s*\.\s*timeout\b`,
].join('|'), 'g')

/** Time comes from a Clock, so that tests can control it. */
export function time(source: Source): Finding[] {
  if (OUTSIDE_PRODUCT.test(source.path) || TIME_HOMES.includes(source.path)) return []
  return [
    ...findAll(source, source.code, TIME_CALLS, 'time',
      ([call]) => `${call.replace(/\s*\($/, '')}; take a Clock (shards/base/clock.ts)`),
    ...findAll(source, source.uncommented, /\bfrom\s+['"](node:timers[^'"]*)['"]/g, 'time',
      ([, module]) => `${module}; take a Clock (shards/base/clock.ts)`),
  ]
}

/** Errors are one table; expected failures are returned, not thrown. */
export function thrown(source: Source): Finding[] {
  if (OUTSIDE_PRODUCT.test(source.path) || THROW_HOMES.includes(source.path)) return []
  return findAll(source, source.code, /\bthrow\b|\bnew\s+\w*Error\s*\(/g, 'throw',
    ([what]) => `${what.replace(/\s*\($/, '')}: return it, assert it, or take fail() of ` +
      'src/base/errors.ts')
}

const LOADERS = new RegExp([
  String.raw`\bimport\s*\.\s*meta\b`, String.raw`\bcreateRequire\b`,
  String.raw`\bgetBuiltinModule\b`, String.raw`\bmodule\s*\.\s*require\b`,
  String.raw`\bimport\s*\(\s*(?!['"])`,
].join('|'), 'g')

/** Of the linter's rules, those that the rules about files and imports rely on. */
const SWITCHED_OFF = new RegExp([
  String.raw`lint-disable[a-z-]*(?=\s*$|.*\b(?:consistent-type-imports|max-lines))`,
  String.raw`@ts-(?:ignore|nocheck)`,
].join('|'), 'gm')

/** Modules come by import declarations, which the rules about rooms see. */
export function loaders(source: Source): Finding[] {
  if (OUTSIDE_PRODUCT.test(source.path) || LOADER_HOMES.includes(source.path)) return []
  return [
    ...findAll(source, source.code, LOADERS, 'loader',
      ([what]) => `${what.trim()}: only the files of LOADER_HOMES load by a path`),
    ...findAll(source, source.comments, SWITCHED_OFF, 'loader',
      ([what]) => `${what}: this rule is not switched off`),
  ]
}
