// The start of a process that takes over from a server on the same data folder and ports. It checks
// its own settings before it asks; then it listens beside the predecessor, and holds requests until
// the predecessor has released the folder.

import type { Clock } from '../../shards/base/clock.ts'
import { makeProof } from '../access/peer-proof.ts'
import { ClientBytes } from '../base/client-bytes.ts'
import { fail } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { ProcessEnd } from '../base/process-end.ts'
import { VERSION } from '../base/version.ts'
import type { Listener } from '../config/listeners.ts'
import { ControlLine, type Heard } from '../control/line.ts'
import { lockFile } from '../control/place.ts'
import type { FrontDoor } from '../door/front-door.ts'
import { HttpServer, type ServerBounds } from '../http/server.ts'
import { WaitingRoom } from '../peer/waiting-room.ts'
import { TAKE_OVER_FORM } from './hand-over.ts'

/** What a take-over needs. */
export interface TakeOverParts {
  readonly dataFolder: string
  readonly listeners: readonly Listener[]
  readonly bounds: ServerBounds
  readonly end: Pick<ProcessEnd, 'decided' | 'reason'>
  readonly log: Log
  /** Only read. */
  readonly clock: Clock
}

/** A take-over, from when the predecessor allows it to listen; created by begin(). */
export class TakeOver {
  readonly #parts: TakeOverParts
  readonly #line: ControlLine
  readonly #room: WaitingRoom
  readonly #proof: string
  /** The server, which listens already. */
  readonly server: HttpServer
  /** The predecessor's process id. */
  readonly pid: number

  #isDone = false

  private constructor(
    parts: TakeOverParts, line: ControlLine, room: WaitingRoom, server: HttpServer, pid: number,
    proof: string,
  ) {
    this.#proof = proof
    this.#parts = parts
    this.#line = line
    this.#room = room
    this.server = server
    this.pid = pid
  }

  /**
   * Resolves when the data folder may be locked; undefined when this process is to end before that.
   * Fails with `take_over_refused` when there is no server to take over from, or it refuses.
   */
  static async begin(parts: TakeOverParts): Promise<TakeOver | undefined> {
    const { bounds, clock, dataFolder, end, listeners, log } = parts
    const file = lockFile(dataFolder)
    const line = await ControlLine.open(file) ?? refused(`no server answers at ${file}: there is ` +
      'nobody to take over from; start without --take-over')
    const proof = makeProof()
    line.say({
      command: 'take-over', form: TAKE_OVER_FORM, version: VERSION, pid: process.pid, listeners,
      proof,
    })
    const ready = stateOf(await line.next())
    if (ready.state !== 'ready') {
      refused(`the running server cannot be taken over: ${ready.error ?? 'it has just ended'}`)
    }
    const room = new WaitingRoom(
      VERSION, new ClientBytes(bounds.clientBytesMax, clock, log), clock)
    const server = await HttpServer.listen(listeners, room, bounds, true)
      .catch((error: unknown) => {
        line.close()
        return Promise.reject(error)
      })
    const takeOver = new TakeOver(parts, line, room, server, ready.pid, proof)
    log.info({ pid: ready.pid }, 'listening beside the running server; taking over')
    line.say({ command: 'listening' })
    const handedOver = await Promise.race([line.next(), end.reason.then(() => ENDING)])
    return takeOver.#handedOver(handedOver) ? takeOver : undefined
  }

  /** Everything is loaded: admits the held requests, and lets the predecessor end. */
  done(door: FrontDoor): void {
    this.#isDone = true
    const { clock } = this.#parts
    door.tables.takenOver = { pid: this.pid, atMs: clock.wallMs(clock.nowUs()) }
    door.tables.peerProof = this.#proof
    this.#room.letIn(door)
    this.#line.say({ command: 'loaded' })
    this.#line.close()
  }

  /** This process ends: answers the held requests with 503. No-op after done(). */
  close(): void {
    if (this.#isDone) return
    this.#room.sendAway()
    this.#line.close()
    this.server.close()
  }

  #handedOver(heard: Heard | undefined): boolean {
    const { log } = this.#parts
    const { error, queued, state } = stateOf(heard)
    if (state === 'handed_over') {
      log.info({ pid: this.pid, queued }, 'the other server has handed over')
      return true
    }
    if (heard === undefined) {
      log.warn({ pid: this.pid }, 'the other server ended in the midst of it; its jobs are taken ' +
        'from the journal')
      return true
    }
    this.close()
    if (heard !== ENDING) refused(`the running server has given up: ${error}`)
    return false
  }
}

const ENDING: Heard = {}

interface Said {
  readonly state: unknown
  readonly pid: number
  readonly queued: number
  readonly error: string | undefined
}

function stateOf(heard: Heard | undefined): Said {
  const progress = (heard?.['progress'] ?? {}) as Heard
  const error = heard?.['error']
  return {
    state: progress['state'], pid: Number(progress['pid']), queued: Number(progress['queued']),
    error: error === undefined ? undefined : String(error),
  }
}

const refused = (reason: string): never => fail('take_over_refused', reason)
