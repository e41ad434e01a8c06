// The control socket over the life of a server: bound as soon as its path is known, which for a
// data folder is before anything else in it is touched; answering once the server is running;
// removed at the end.

import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { OperatingError } from '../base/errors.ts'
import { CONTROL_STALE_AFTER_MS } from '../base/limits.ts'
import type { ProcessLog } from '../base/log.ts'
import type { ControlCommands } from './commands.ts'
import { type PlaceFacts, controlFile, dependsOnPort, lockFile } from './place.ts'
import { ControlServer } from './server.ts'

/** The control socket of one server. */
export class Control {
  readonly #facts: Omit<PlaceFacts, 'port'>
  readonly #clock: Clock
  readonly #log: ProcessLog
  readonly #servers: ControlServer[] = []

  /** @param clock its own, since a clock has one wake-up. */
  constructor(facts: Omit<PlaceFacts, 'port'>, clock: Clock, log: ProcessLog) {
    this.#facts = facts
    this.#clock = clock
    this.#log = log
  }

  /**
   * Binds the socket if its path does not depend on the port. There is always one in the data
   * folder, besides one that the setting names, so that no other server uses the folder. Throws
   * like bindControl(). @param triesMax how often it tries while a server answers there: the socket
   * of a killed process may answer until the system has closed the last of its files.
   */
  async lock(triesMax: number): Promise<void> {
    const { dataFolder } = this.#facts
    const files = new Set(dataFolder === undefined ? [] : [lockFile(dataFolder)])
    if (!dependsOnPort(this.#facts)) files.add(controlFile({ ...this.#facts, port: 0 }))
    for (const file of files) {
      this.#servers.push(await this.#lockFile(file, triesMax))
    }
  }

  /** Call it when the server listens: answers requests from now on. Throws like bindControl(). */
  async open(port: number, commands: ControlCommands): Promise<void> {
    if (dependsOnPort(this.#facts)) await this.#openByPort(port)
    for (const server of this.#servers) server.commands(commands)
  }

  /** Lets another process bind the sockets; connections stay open. */
  release(): void {
    for (const server of this.#servers) server.release()
  }

  close(): void {
    for (const server of this.#servers) server.close()
  }

  async #lockFile(file: string, triesLeft: number): Promise<ControlServer> {
    try {
      return await ControlServer.open(file, this.#clock, this.#log)
    } catch (error) {
      const isTaken = error instanceof OperatingError && error.code === 'control_taken'
      if (!isTaken || triesLeft <= 1) return Promise.reject(error)
    }
    await new Promise<void>((resolve) => {
      this.#clock.wakeAt((this.#clock.nowUs() + msToUs(CONTROL_STALE_AFTER_MS)) as Micros, resolve)
    })
    return this.#lockFile(file, triesLeft - 1)
  }

  /** If this default path cannot be used, the server runs without a control socket. */
  async #openByPort(port: number): Promise<void> {
    const file = controlFile({ ...this.#facts, port })
    try {
      this.#servers.push(await ControlServer.open(file, this.#clock, this.#log))
    } catch (error) {
      if (!(error instanceof OperatingError) || error.code !== 'control_failed') {
        return Promise.reject(error)
      }
      this.#log.warn({ reason: error.message }, 'there is no control socket')
      return undefined
    }
  }
}
