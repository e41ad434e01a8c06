// The rooms of the code, which are the folders of shards/ and src/, in the order in which they
// stand: a room imports itself and rooms before it, types included. docs/ARCHITECTURE.md has the
// same map.

/** One room. */
export interface Room {
  /** `shards/base` */
  readonly path: string
  /** What it is, in a few words. */
  readonly what: string
}

const roomsOf = (top: string, rooms: Readonly<Record<string, string>>): Room[] =>
  Object.entries(rooms).map(([name, what]) => ({ path: `${top}/${name}`, what }))

/** The engine: what a shard's thread runs. */
export const SHARD_ROOMS: readonly Room[] = roomsOf('shards', {
  base: 'what knows nothing of Sluice: assertions, units, time, randomness',
  memory: 'shared memory, the structures in it, and the limits of the engine',
  wire: 'what crosses threads and disks: records, control messages, MessagePack',
  store: 'jobs at rest: slots, log, templates, results',
  signals: 'what response headers say, and what follows from a response',
  dns: 'host names and their addresses',
  transport: 'sending requests and receiving responses',
  pace: 'who may send, and when',
  job: 'the life of a job, from intake to webhook',
  journal: 'the image on disk, and a shard\'s part in writing it',
  shard: 'the thread as a whole',
})

/** The process around the shards. */
export const SRC_ROOMS: readonly Room[] = roomsOf('src', {
  base: 'errors, log, hashes, and types that many share',
  config: 'settings, from flags to what each part is told',
  access: 'who asks, and what they may do',
  job: 'one submitted job: its fields, their checks',
  shapes: 'jobs that look alike, recognised in their bytes',
  engine: 'the threads of the shards, and messages to and from them',
  submit: 'jobs on their way in, and those who watch them',
  http: 'HTTP: the server, its routes, batches and event streams',
  ws: 'WebSocket',
  journal: 'the data folder, and the threads that keep it',
  reshard: 'moving jobs into memory of other sizes',
  peer: 'requests that another Sluice process answers',
  door: 'the front door: what answers requests, and can be replaced',
  control: 'the control socket',
  handover: 'a reload of the code, and a take-over by another process',
  start: 'the server, from start to stop',
  cli: 'the commands',
})

/** The one file that lies in no room. */
export const MAIN_FILE = 'src/main.ts'

/** The engine's rooms that all rooms of src may import. */
const OPEN_TO_SRC = ['base', 'memory', 'wire', 'signals']

/** The engine's other rooms, and who in src may import them. */
const OPENED_TO: Readonly<Record<string, readonly string[]>> = {
  // A key set is fetched under the rules for where requests may go.
  'src/access': ['transport'],
  // Both read, write and move the image of a shard.
  'src/journal': ['store', 'journal'],
  'src/reshard': ['store', 'journal', 'pace'],
  'src/engine': ['shard'],
  // What a drain waits for is read from the slots.
  'src/start': ['store'],
}

/** The rooms that files of a room may import, besides their own. */
export function importableFrom(room: string): string[] {
  const inShards = SHARD_ROOMS.findIndex(({ path }) => path === room)
  if (inShards !== -1) return SHARD_ROOMS.slice(0, inShards).map(({ path }) => path)
  const inSrc = SRC_ROOMS.findIndex(({ path }) => path === room)
  return [
    ...[...OPEN_TO_SRC, ...OPENED_TO[room] ?? []].map((name) => `shards/${name}`),
    ...SRC_ROOMS.slice(0, inSrc).map(({ path }) => path),
  ]
}
