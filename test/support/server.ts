// A real server in a process of its own, for black-box tests: started on a free port with little
// memory, and always stopped.

import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import type { Readable } from 'node:stream'

const ROOT = path.resolve(import.meta.dirname, '../..')
const QUIET = '--disable-warning=ExperimentalWarning'
const LISTENING = /^listening on (http:\/\/\S+:(\d+))$/m

/** How to start a server. */
export interface ServerOptions {
  /** After the defaults `--port 0 --memory 128MiB --journal off`, which they override. */
  readonly flags?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A module that is loaded first, in every thread. */
  readonly preload?: string
  /** Further flags of Node's own. */
  readonly nodeFlags?: readonly string[]
  /** The text of a configuration file to start with. */
  readonly configYaml?: string
  /** The folder of the project whose code is run; default: this one. */
  readonly root?: string
}

/** A process that ended. */
export interface Ended {
  /** Null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** The part of a test's context that is needed; `t` of node:test has it. */
export interface Cleanup {
  after(run: () => Promise<void>): void
}

// A signal ends a process without the 'exit' event, whose listeners stop the servers.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

/** A process of Sluice. It keeps the test's process alive only while a caller waits for it. */
export class SluiceProcess {
  /** Its working folder, with its control socket; removed when it has ended. */
  readonly folder: string
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  readonly #ended: Promise<Ended>
  readonly #looks = new Set<() => void>()
  #waits = 0
  #stdout = ''
  #stderr = ''

  /** Runs a command line in an empty folder. */
  constructor(args: readonly string[], options: Omit<ServerOptions, 'flags'> = {}) {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'sluice-test-'))
    this.folder = folder
    if (options.configYaml !== undefined) {
      writeFileSync(path.join(folder, 'sluice.yaml'), options.configYaml)
    }
    const preload = options.preload === undefined ? [] : ['--import', options.preload]
    const main = path.join(options.root ?? ROOT, 'src/main.ts')
    const nodeFlags = [QUIET, ...preload, ...options.nodeFlags ?? []]
    const child = spawn(process.execPath, [...nodeFlags, main, ...args], {
      cwd: folder,
      env: {
        ...cleanEnvironment(), XDG_RUNTIME_DIR: folder,
        // One port is enough for most tests; that of operators would be the next one.
        SLUICE_OPERATE_LISTEN: 'off', ...options.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text
      for (const look of this.#looks) look()
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
      for (const look of this.#looks) look()
    })
    const killLeftover = (): void => {
      child.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    }
    process.on('exit', killLeftover)
    const { promise, resolve } = Promise.withResolvers<Ended>()
    child.on('close', (code, signal) => {
      process.off('exit', killLeftover)
      rmSync(folder, { recursive: true, force: true })
      resolve({ code, signal })
    })
    this.#ended = promise
    this.#keepAlive(false)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Its output so far. */
  get stdout(): string {
    return this.#stdout
  }

  get stderr(): string {
    return this.#stderr
  }

  /** Resolves when the process has ended and its output has arrived. */
  ended(): Promise<Ended> {
    return this.#waitingFor(this.#ended)
  }

  /** Resolves with the match when the output has it; undefined when it ends without. */
  waitFor(stream: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray | undefined> {
    const { promise, resolve } = Promise.withResolvers<RegExpExecArray | undefined>()
    const look = (): void => {
      const match = pattern.exec(this[stream])
      if (match === null) return
      this.#looks.delete(look)
      resolve(match)
    }
    this.#looks.add(look)
    look()
    void this.#ended.then(() => resolve(undefined))
    return this.#waitingFor(promise)
  }

  /** Closes the reading end of its standard output. */
  closeStdout(): void {
    this.#child.stdout.destroy()
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  /** Sends the signal and waits for the end; resolves with the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.signal(signal)
    return (await this.ended()).code
  }

  /** Kills it (SIGKILL). */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.ended()
  }

  async #waitingFor<T>(promise: Promise<T>): Promise<T> {
    if (this.#waits++ === 0) this.#keepAlive(true)
    const result = await promise
    if (--this.#waits === 0) this.#keepAlive(false)
    return result
  }

  #keepAlive(keep: boolean): void {
    // A child's pipes are sockets, whatever their declared type says.
    for (const handle of [this.#child, this.#child.stdout, this.#child.stderr] as Socket[]) {
      if (keep) handle.ref()
      else handle.unref()
    }
  }
}

/** A listening server. */
export interface TestServer extends SluiceProcess {
  readonly url: string
  readonly port: number
}

/**
 * Starts a server and waits until it listens; rejects with its output when it ends before.
 * @param t the server is killed after this test, if it is still running; without it, when the
 *   test's process ends.
 */
export async function startServer(options: ServerOptions = {}, t?: Cleanup): Promise<TestServer> {
  const args = [
    'serve', '--port', '0', '--memory', '128MiB', '--journal', 'off', ...options.flags ?? [],
  ]
  const server = new SluiceProcess(args, options)
  t?.after(() => server.kill())
  const match = await server.waitFor('stdout', LISTENING)
  if (match === undefined) {
    const { code } = await server.ended()
    throw new Error(`the server ended with ${code} before it listened:\n` +
      server.stdout + server.stderr)
  }
  return Object.assign(server, { url: match[1] ?? '', port: Number(match[2]) })
}

/** A port that is not in use now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => { server.close(resolve) })
  return port
}

/** This process's environment without settings of Sluice, except those for assertions. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env)
    .filter(([name]) => !name.startsWith('SLUICE_') || name === 'SLUICE_VERIFY'))
}
