// Binds the control socket, which is also the lock of the data folder: only the process that has
// bound it may write there. A socket file survives a process that was killed; the next process
// replaces it.
//
// Why only one process can win: bind() creates the file or fails, so a file is never replaced by
// accident. A file is removed only if it refused connections for a while, and if the removed file
// is the very one that was checked: it is first renamed to a name of this process's own, which only
// one of several processes can do with the same file. If it is another file by then, the socket of
// a process that was quicker, it is put back.

import { linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs'
import { type Server, connect } from 'node:net'
import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { fail } from '../base/errors.ts'
import { CONTROL_STALE_AFTER_MS } from '../base/limits.ts'
import { SOCKET_PATH_BYTES_MAX, type SocketPath, openSocketPath } from './socket-path.ts'

/** Processes that replace the same file at the same time are done after a few tries. */
const TRIES_MAX = 5
/** Masks all permissions but the owner's to read and write. */
const UMASK_PRIVATE = 0o177

/**
 * Binds the server to the file, which from then on only this user may connect to. Throws
 * OperatingError: `control_taken` when a server answers there, `control_failed` when the file
 * cannot be created, or exists and is not a socket. @param clock is used for one wake-up.
 * @returns the path to the file, to be closed together with the server.
 */
export async function bindControl(
  server: Server, file: string, clock: Clock,
): Promise<SocketPath> {
  const way = wayTo(file)
  try {
    await bind(server, file, way.path, clock)
    return way
  } catch (error) {
    way.close()
    return Promise.reject(error)
  }
}

function wayTo(file: string): SocketPath {
  let way: SocketPath | undefined
  try {
    way = openSocketPath(file)
  } catch (error) {
    return failed(file, error)
  }
  return way ?? fail('control_failed', 'the path of the control socket has more than ' +
    `${SOCKET_PATH_BYTES_MAX} bytes, which is all that the system allows: ${file}; name a ` +
    'shorter one with --control, or a shorter folder with --data')
}

async function bind(server: Server, file: string, short: string, clock: Clock): Promise<void> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const error = await listen(server, short)
    if (error === undefined) return
    if (error.code !== 'EADDRINUSE') failed(file, error)
    if (!await isStale(file, short, clock)) {
      fail('control_taken', `another server answers at ${file}: two must not share a data folder ` +
        'or a control socket; stop it, or name others with --data and --control')
    }
  }
  fail('control_taken', `other servers keep taking ${file}`)
}

const failed = (file: string, error: unknown): never => fail('control_failed',
  `cannot make the control socket ${file} (${(error as Error).message}); name another place ` +
  'with --control or --data', error)

function listen(server: Server, file: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const onError = (error: NodeJS.ErrnoException): void => resolve(error)
    server.once('error', onError)
    // The file is created inside listen(), so no other file gets this umask.
    const before = process.umask(UMASK_PRIVATE)
    server.listen(file, () => {
      server.off('error', onError)
      resolve(undefined)
    })
    process.umask(before)
  })
}

/** Whether the file had no listener; it has been removed then. */
async function isStale(file: string, short: string, clock: Clock): Promise<boolean> {
  const seen = identityOf(file)
  if (seen === undefined) return true
  // A process that has just bound it may not listen yet.
  if (await answers(short)) return false
  await pause(clock)
  if (await answers(short)) return false
  const aside = `${file}.${process.pid}`
  try {
    renameSync(file, aside)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? true : failed(file, error)
  }
  if (identityOf(aside) !== seen) linkSync(aside, file)
  unlinkSync(aside)
  return true
}

/**
 * Distinguishes a socket from a later one of the same name; renaming does not change it. Fails for
 * any other kind of file, which is not touched.
 */
function identityOf(file: string): string | undefined {
  const stat = lstatSync(file, { bigint: true, throwIfNoEntry: false })
  if (stat === undefined) return undefined
  if (stat.isSocket()) return `${stat.ino} ${stat.mtimeNs}`
  return fail('control_failed', `${file} is there and is no socket: it stays as it is; name ` +
    'another place with --control')
}

function answers(file: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(file)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    // With any other error, it may be a server that is busy, or a file without access.
    socket.once('error', ({ code }: NodeJS.ErrnoException) =>
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT'))
  })
}

function pause(clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    clock.wakeAt((clock.nowUs() + msToUs(CONTROL_STALE_AFTER_MS)) as Micros, resolve)
  })
}
