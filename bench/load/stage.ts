// Everything that a run of the bench has started or created, so that nothing is left behind: each
// of these processes ends when the bench disconnects or ends, and the folder is removed with them.

import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { RoleProcess } from './role-process.ts'
import type { Roles } from './roles/messages.ts'
import { type MeasuredServer, startServer } from './server-process.ts'

/** Tries to remove a folder into which a server that is ending may still write. */
const RETRIES = 5

/** Starts processes and ends them all. */
export class Stage {
  readonly #roles = new Set<Pick<RoleProcess<keyof Roles>, 'ended' | 'stop'>>()
  /** Runners, which end last, after they have removed their servers' files. */
  readonly #runners = new Set<RoleProcess<'runner'>>()
  readonly #failed = Promise.withResolvers<never>()
  #folder: string | undefined
  #closed = false

  constructor() {
    // It may have no awaiter.
    this.#failed.promise.catch(() => {})
  }

  /** Rejects when one of the processes has ended by itself. */
  get failed(): Promise<never> {
    return this.#failed.promise
  }

  /** For the servers' files; removed with the stage. */
  get folder(): string {
    this.#folder ??= mkdtempSync(path.join(os.tmpdir(), 'sluice-bench-'))
    return this.#folder
  }

  async role<Name extends keyof Roles>(name: Name): Promise<RoleProcess<Name>> {
    const role = await RoleProcess.start(name)
    // A process that was still starting when the run ended is stopped as well.
    if (this.#closed) role.stop()
    else this.#roles.add(role)
    void role.ended.then((reason) => this.#failed.reject(reason))
    return role
  }

  /** A server with these flags. @param watched for MeasuredServer.watched(). */
  async server(flags: readonly string[], watched = false): Promise<MeasuredServer> {
    const { folder } = this
    const runner = await this.role('runner')
    this.#runners.add(runner)
    const server = await startServer(runner, { flags, watched, folder })
    void runner.ended.then(() => {
      // A killed runner has left its server running.
      if (!this.#closed && server.pid !== undefined) kill(server.pid)
    })
    return server
  }

  /** Stops all processes, whatever they are doing, and removes the servers' files. */
  async close(): Promise<void> {
    this.#closed = true
    for (const role of this.#roles) role.stop()
    await Promise.all([...this.#runners].map(({ ended }) => ended))
    if (this.#folder === undefined) return
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: RETRIES })
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}
