// What the rules allow, in one place. Each exception is one line here, with its reason.

/** The files of src that may import bench/: the commands of the bench that Sluice ships. */
export const BENCH_FILES: readonly string[] = ['src/cli/bench.ts', 'src/cli/bench-options.ts']

/**
 * Packages and modules that only certain files may import, both as path patterns; their types may
 * be imported anywhere.
 */
export const HOMES: ReadonlyArray<readonly [module: string, home: string, where: string]> = [
  ['/uWebSockets\\.js/', '^src/http/', 'src/http'],
  ['/undici/', '^shards/transport/(undici-transport|client-connection|undici-header-tables)\\.ts$',
    'shards/transport: undici-transport.ts, client-connection.ts, undici-header-tables.ts'],
  // Two sides that share nothing: what a shard may dial, and who a client is.
  ['/ipaddr\\.js/', '^(shards/transport/egress|src/http/client-address)\\.ts$',
    'shards/transport/egress.ts, src/http/client-address.ts'],
  ['/msgpackr/', '^shards/wire/codec\\.ts$', 'shards/wire/codec.ts'],
  ['/piscina/', '^src/engine/shard-pool\\.ts$', 'src/engine/shard-pool.ts'],
  ['^worker_threads$',
    '^(src/(engine/(shard-(pool|run)|touch-thread)|journal/compactors?)|' +
      'shards/shard/(worker|toucher|thread))\\.c?ts$',
    'src/engine: shard-pool.ts, shard-run.ts, touch-thread.ts; src/journal: compactor.ts, ' +
      'compactors.ts; shards/shard: worker.ts, toucher.ts, thread.cts'],
  ['/lmdb/', '^src/journal/store\\.ts$', 'src/journal/store.ts'],
  ['/pino/', '^src/base/log\\.ts$', 'src/base/log.ts'],
  ['/jose/', '^src/access/(jwks|jwt)\\.ts$', 'src/access: jwks.ts, jwt.ts'],
  ['/commander/', '^src/cli/', 'src/cli'],
  ['/(yaml|zod)/', '^src/config/', 'src/config'],
  ['/cli-progress/', '^src/cli/', 'src/cli'],
]

/** The engine's pure files: they import nothing that does I/O or knows the time. */
export const PURE: readonly string[] = [
  'base/units', 'base/prng', 'memory/limits', 'memory/socket-limits', 'memory/lane-limits',
  'memory/stats', 'memory/wheel', 'memory/slot-index', 'memory/job-list', 'memory/share',
  'memory/held-counts', 'memory/pools', 'memory/interval', 'wire/contract', 'signals/pace-headers',
  'signals/retry-after', 'signals/verdict',
  'transport/transport', 'pace/pace', 'pace/lanes', 'pace/gates', 'pace/round-robin',
  'pace/lane-shares', 'pace/shared-lane-order', 'job/retry',
].map((name) => `shards/${name}.ts`)

/** Files that may read the time and set timers. */
export const TIME_HOMES: readonly string[] = ['shards/base/clock.ts']

/** Files that may create and throw errors. */
export const THROW_HOMES: readonly string[] = [
  'src/base/errors.ts', 'shards/base/assert.ts',
  // undici accepts nothing but an Error from its connector
  'shards/transport/client-connection.ts',
  // net.connect() accepts nothing but an Error from its lookup function
  'shards/dns/name-error.ts',
  // net.connect() accepts nothing but an Error from its lookup function
  'shards/transport/judged-lookup.ts',
  // undici accepts nothing but an Error from its connector
  'shards/transport/secure-socket.ts',
  // the caller gets either the system's Error or this one
  'shards/journal/named-files.ts',
]

/**
 * Files that load a module or a file of the project by a path: threads, new code of a reload, and
 * undici's own tables. The rules about imports do not see such a path.
 */
export const LOADER_HOMES: readonly string[] = [
  'src/engine/shard-pool.ts', 'src/engine/supervisor.ts', 'src/engine/touch-thread.ts',
  'src/journal/compactors.ts', 'src/handover/new-code.ts', 'shards/shard/thread.cts',
  'shards/transport/undici-header-tables.ts',
]

/** Folders that are not part of the product: their code may throw and read the clock. */
export const OUTSIDE_PRODUCT = /^(test|bench|scripts)\//

/** Names that may be at the top level, besides those that begin with a dot. */
export const TOP_LEVEL: ReadonlySet<string> = new Set([
  'package.json', 'package-lock.json', 'tsconfig.json', 'README.md', 'LICENSE', 'CHANGELOG.md',
  'SECURITY.md', 'src', 'shards', 'test', 'bench', 'scripts', 'docs', 'deploy',
])

/** At the top level of a working copy, but not part of the project. */
export const TOP_LEVEL_IGNORED: ReadonlySet<string> =
  new Set(['node_modules', 'dist', 'sluice-data'])

/** Files that are started or loaded by name, so that no file imports their exports. */
export const ENTRY_FILES: ReadonlySet<string> = new Set([
  'src/main.ts', 'src/door/replaceable.ts', 'src/journal/compactor.ts', 'shards/shard/worker.ts',
])

export const LINE_CHARS_MAX = 100
