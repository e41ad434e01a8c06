// What the rules allow, in one place. An exception is a line here with its reason.

/** The engine's files that the process around it may import. */
export const SHARDS_FOR_SRC: ReadonlySet<string> = new Set([
  'client-limits', 'socket-limits',
  'contract', 'layout', 'limits', 'units', 'ring', 'doorbell', 'codec', 'stats', 'assert', 'clock',
  'prng', 'headers', 'job-id', 'msgpack-check', 'build-mark', 'journal-words', 'touch-ahead',
  'share', 'held-counts', 'give-back', 'pools', 'unended',
])

/** And those that src/journal may, which reads and moves what lies in the engine's memory. */
export const SHARDS_FOR_JOURNAL: ReadonlySet<string> = new Set([
  'journal-format', 'journal-image', 'tail-names', 'job-slots', 'progress', 'segments', 'job-log',
  'log-record', 'lanes', 'lane-limits', 'extent-file',
])

/** The files of src that may import bench/: the command of the bench that Sluice ships. */
export const BENCH_DOOR = /^src\/cli\/bench(-options)?\.ts$/

/** Packages and modules with one home each; types may be imported anywhere. */
export const HOMES: ReadonlyArray<readonly [module: RegExp, home: RegExp, where: string]> = [
  [/^uWebSockets\.js$/, /^src\/http\//, 'src/http'],
  [/^undici(\/|$)/, /^shards\/(undici-transport|client-connection|known-headers)\.ts$/,
    'shards/undici-transport.ts, client-connection.ts, known-headers.ts'],
  [/^msgpackr$/, /^shards\/codec\.ts$/, 'shards/codec.ts'],
  [/^piscina$/, /^src\/shard-pool\.ts$/, 'src/shard-pool.ts'],
  [/^(node:)?worker_threads$/,
    new RegExp('^(src/(shard-(pool|run)|touch-thread|journal/keepers?)|shards/(worker|toucher))' +
      '\\.ts$|^shards/thread\\.cts$'),
    'src/shard-pool.ts, src/shard-run.ts, src/touch-thread.ts, src/journal/keeper(s).ts, ' +
      'shards/worker.ts, toucher.ts, thread.cts'],
  [/^lmdb$/, /^src\/journal\/store\.ts$/, 'src/journal/store.ts'],
  [/^pino$/, /^src\/log\.ts$/, 'src/log.ts'],
  [/^commander$/, /^src\/cli\//, 'src/cli'],
  [/^(yaml|zod)$/, /^src\/config\//, 'src/config'],
]

/** The engine's pure files: they import each other and nothing that does I/O or knows the time. */
export const PURE: ReadonlySet<string> = new Set([
  'units', 'limits', 'socket-limits', 'prng', 'stats', 'contract', 'pace', 'wheel', 'lanes',
  'retry', 'headers', 'gates', 'outcome', 'slot-index', 'turn-lists', 'job-list', 'transport',
  'share', 'held-counts', 'pools', 'lane-limits', 'lane-shares', 'lane-turn',
].map((name) => `shards/${name}.ts`))

/** Where the time may be read and timers set. */
export const TIME_HOMES: readonly string[] = ['shards/clock.ts']

/** Where errors are made and thrown. */
export const THROW_HOMES: readonly string[] = [
  'src/errors.ts', 'shards/assert.ts',
  'shards/client-connection.ts', // undici takes nothing but an Error from whoever opens a socket
  'shards/name-error.ts', // a socket takes nothing but an Error from whoever looks up its host
  'shards/secure-socket.ts', // as undici takes it from its own connector, with what had come about
  'shards/named-files.ts', // whoever appends gets the system's Error, or this one
]

/** Folders whose code is no part of the product: they may throw and read the clock. */
export const OUTSIDE_PRODUCT = /^(test|bench|scripts)\//

/** What may lie at the top, besides names that begin with a dot. */
export const TOP_LEVEL: ReadonlySet<string> = new Set([
  'package.json', 'package-lock.json', 'tsconfig.json', 'README.md', 'LICENSE', 'CHANGELOG.md',
  'src', 'shards', 'test', 'bench', 'scripts', 'docs',
])

/** At the top of a working copy, but not of the project. */
export const TOP_LEVEL_IGNORED: ReadonlySet<string> =
  new Set(['node_modules', 'dist', 'sluice-data'])

/** Files that are started or loaded by name, so that nothing imports their exports. */
export const ENTRY_FILES: ReadonlySet<string> =
  new Set(['src/main.ts', 'src/replaceable.ts', 'src/journal/keeper.ts', 'shards/worker.ts'])

export const LINE_CHARS_MAX = 100
