// Everything that a run of the bench has started, so that nothing outlives it: each of these
// processes ends when the bench lets go of it, or is gone itself.

import { RoleProcess } from './role-process.ts'
import type { Roles } from './roles/messages.ts'
import { type MeasuredServer, startServer } from './server-process.ts'

/** Starts processes and ends them all. */
export class Stage {
  readonly #roles = new Set<{ stop(): void }>()
  #closed = false

  async role<Name extends keyof Roles>(name: Name): Promise<RoleProcess<Name>> {
    const role = await RoleProcess.start(name)
    // One that was still starting when the run ended is ended as well.
    if (this.#closed) role.stop()
    else this.#roles.add(role)
    return role
  }

  /** A server with these flags. @param watched for MeasuredServer.watched(). */
  async server(flags: readonly string[], watched = false): Promise<MeasuredServer> {
    return startServer(await this.role('keeper'), flags, watched)
  }

  /** Ends all processes, whatever they are doing. */
  close(): void {
    this.#closed = true
    for (const role of this.#roles) role.stop()
    this.#roles.clear()
  }
}
