// What may import what: the order of the rooms, import circles, packages restricted to certain
// files, and the pure files. dependency-cruiser reads and checks the imports, type-only included.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { cruise, type ICruiseResult, type IForbiddenRuleType } from 'dependency-cruiser'
import { BENCH_FILES, HOMES, PURE } from './policy.ts'
import { importableFrom, MAIN_FILE, SHARD_ROOMS, SRC_ROOMS } from './rooms.ts'
import { type Finding, lineAt } from './source.ts'

/** Escapes a path for a regular expression. */
const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
const isFile = (paths: readonly string[]): string => `^(${paths.map(escaped).join('|')})$`
const isIn = (folders: readonly string[]): string => `^(${folders.map(escaped).join('|')})/`

const allowed = (room: string): string => importableFrom(room).join(', ') || 'none but its own'

/** A room imports itself and the rooms open to it, and nothing else of the project. */
const roomOrder: readonly IForbiddenRuleType[] = [...SHARD_ROOMS, ...SRC_ROOMS].map((room) => ({
  name: room.path, comment: `of the rooms, it may import ${allowed(room.path)}`,
  from: { path: isIn([room.path]) },
  to: {
    path: isIn(['shards', 'src', 'test', 'scripts']),
    pathNot: isIn([room.path, ...importableFrom(room.path)]),
  },
}))

/** `import type` and the like. */
const TYPES: readonly ('type-only' | 'type-import')[] = ['type-only', 'type-import']

const rules: readonly IForbiddenRuleType[] = [
  ...roomOrder,
  {
    name: 'circle', comment: 'files import each other in a circle',
    from: {}, to: { circular: true },
  },
  {
    name: 'unresolved', comment: 'there is no such file or package', from: {},
    to: { couldNotResolve: true },
  },
  {
    name: 'main', comment: 'it imports src only',
    from: { path: isFile([MAIN_FILE]) }, to: { path: isIn(['shards', 'test', 'scripts']) },
  },
  {
    name: 'bench', comment: `of the product, only ${BENCH_FILES.join(', ')} may import bench`,
    from: { path: isIn(['shards', 'src']), pathNot: isFile(BENCH_FILES) },
    to: { path: isIn(['bench']) },
  },
  {
    name: 'package', comment: 'scripts/rules/policy.ts names no file for this package',
    from: { path: isIn(['shards', 'src']) },
    to: {
      path: '(^|/)node_modules/', pathNot: HOMES.map(([module]) => module).join('|'),
      dependencyTypesNot: [...TYPES],
    },
  },
  ...HOMES.map(([module, home, where]): IForbiddenRuleType => ({
    name: module, comment: `it belongs in ${where}`,
    from: { path: isIn(['shards', 'src']), pathNot: home },
    to: { path: module, dependencyTypesNot: [...TYPES] },
  })),
  {
    name: 'pure', comment: 'a pure file imports no module, and takes the time as an argument',
    from: { path: isFile(PURE) },
    to: { pathNot: '^shards/(?!base/clock\\.ts$)', dependencyTypesNot: [...TYPES] },
  },
]

/** Findings about all imports in folders of the project at `root`. */
export async function importRules(root: string, folders: readonly string[]): Promise<Finding[]> {
  const { output } = await cruise([...folders], {
    baseDir: root, ruleSet: { forbidden: [...rules] }, validate: true,
    parser: 'swc', tsPreCompilationDeps: true, doNotFollow: { path: '(^|/)node_modules/' },
  }, { conditionNames: ['import', 'node', 'default'], exportsFields: ['exports'] })
  const { modules, summary } = output as ICruiseResult
  const reasons = new Map(rules.map(({ name, comment }) => [name, comment]))
  return summary.violations.map(({ cycle, from, rule: { name }, to }) => {
    const specifier = modules.find(({ source }) => source === from)?.dependencies
      .find(({ resolved }) => resolved === to)?.module ?? to
    const text = readFileSync(path.join(root, from), 'utf8')
    const steps = cycle === undefined ? [to] : cycle.map((step) => step.name)
    const quoted = new RegExp(`(['"\`])(node:)?${escaped(specifier)}\\1`)
    return {
      path: from, line: lineAt(text, Math.max(0, text.search(quoted))), rule: 'import',
      message: `${[from, ...steps].join(' → ')}: ${reasons.get(name)}`,
    }
  })
}

/** Every file of shards/ and src/ must be in a room. */
export function looseFile(file: string): Finding[] {
  const isOfCode = /^(shards|src)\//.test(file)
  const hasRoom = file === MAIN_FILE ||
    [...SHARD_ROOMS, ...SRC_ROOMS].some((room) => file.startsWith(`${room.path}/`))
  return !isOfCode || hasRoom ? [] : [{
    path: file, line: 1, rule: 'loose-file', message: 'lies in no room of scripts/rules/rooms.ts',
  }]
}
