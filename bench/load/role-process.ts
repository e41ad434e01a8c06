// One of the bench's own processes, from the outside: starting it, calling it, and stopping it.

import { type ChildProcess, fork } from 'node:child_process'
import path from 'node:path'
import { BenchError } from './bench-error.ts'
import type { Call, CommandMap, Reply, Roles } from './roles/messages.ts'

type Commands<Name extends keyof Roles> = Roles[Name] & CommandMap<Roles[Name]>

/** A call without an answer yet. */
interface Pending {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly onProgress: (value: unknown) => void
}

/** A process with a role; it ends when this process ends. */
export class RoleProcess<Name extends keyof Roles> {
  readonly #name: Name
  readonly #child: ChildProcess
  readonly #pending = new Map<number, Pending>()
  readonly #ready = Promise.withResolvers<void>()
  readonly #ended = Promise.withResolvers<BenchError>()
  #calls = 0

  private constructor(name: Name, child: ChildProcess) {
    this.#name = name
    this.#child = child
    child.on('message', (reply: Reply) => this.#hear(reply))
    child.on('error', (error) => this.#giveUp(error))
    child.on('exit', (code, signal) => {
      const reason = new BenchError(`the ${name} process ended with ${signal ?? code}`)
      this.#giveUp(reason)
      this.#ended.resolve(reason)
    })
  }

  /** Starts the role's file with this same Node and its flags; resolves when it takes commands. */
  static async start<Name extends keyof Roles>(name: Name): Promise<RoleProcess<Name>> {
    const file = path.join(import.meta.dirname, 'roles', `${name}.ts`)
    const child = fork(file, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    const role = new RoleProcess(name, child)
    await role.#ready.promise
    return role
  }

  /** Rejects when the command fails or the process ends. */
  call<Key extends keyof Roles[Name] & string>(
    command: Key, argument: Commands<Name>[Key]['argument'],
    onProgress?: (value: Commands<Name>[Key]['progress']) => void,
  ): Promise<Commands<Name>[Key]['result']> {
    const id = ++this.#calls
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#pending.set(id, { resolve, reject, onProgress: (value) => onProgress?.(value) })
    const call: Call = { id, name: command, argument }
    this.#child.send(call, (error) => {
      if (error !== null) this.#settle(id)?.reject(error)
    })
    return promise
  }

  /** Resolves with the reason when the process has ended. */
  get ended(): Promise<BenchError> {
    return this.#ended.promise
  }

  /** Disconnects from the process, which ends it and whatever it was doing. */
  stop(): void {
    if (this.#child.connected) this.#child.disconnect()
  }

  #hear(reply: Reply): void {
    if (reply.kind === 'ready') return this.#ready.resolve()
    if (reply.kind === 'progress') return this.#pending.get(reply.id)?.onProgress(reply.value)
    const pending = this.#settle(reply.id)
    if (reply.kind === 'result') pending?.resolve(reply.value)
    else pending?.reject(new Error(`${this.#name}: ${reply.reason}`))
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    return pending
  }

  #giveUp(error: Error): void {
    this.#ready.reject(error)
    for (const id of this.#pending.keys()) this.#settle(id)?.reject(error)
  }
}
