// The measured server: started by the bench with given flags, or a running one of which only the
// address is known.

import { KEY_HEADERS } from './api-key.ts'
import { BenchError } from './bench-error.ts'
import { type ProcessMemory, readCpuUs, readMemory } from './process-files.ts'
import type { RoleProcess } from './role-process.ts'
import type { ServerStart } from './roles/messages.ts'
import type { ServerSecond } from './server-watch.ts'

const ANSWER_MS_MAX = 10_000

/** The part of GET /health that the bench reads. */
export interface Health {
  readonly status: string
  readonly version: string
  readonly shards: readonly {
    readonly queued: number
    readonly in_flight: number
    readonly completed: number
    readonly failed: number
    readonly retries: number
  }[]
  readonly queues: { readonly active: number; readonly backlog: number }
  readonly admission: {
    readonly accepted: number
    readonly memory_bytes: number
    readonly job_log_live_bytes: number
    readonly jobs_max: number
  }
}

/** A server under load. */
export interface MeasuredServer {
  readonly address: { readonly host: string; readonly port: number }
  /** Undefined for a server that the bench did not start. */
  readonly pid: number | undefined
  health(): Promise<Health>
  memory(): ProcessMemory | undefined
  cpuUs(): number | undefined
  /** Its seconds since the last call, if it was started as watched. */
  watched(): Promise<readonly ServerSecond[]>
}

/** A running server; throws if there is none. @param url `http://host:port`. */
export async function targetServer(url: URL): Promise<MeasuredServer> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? 80 : Number(url.port)
  const health = await askHealth(host, port).catch((error: Error) => {
    const { message } = error.cause instanceof Error ? error.cause : error
    throw new BenchError(`--target: ${url.origin} gives no health of a Sluice: ${message}`)
  })
  if (!Array.isArray(health?.shards)) {
    const why = typeof health?.status === 'string'
      ? `${url.origin} shows callers its status alone; the bench needs a loopback address`
      : `what ${url.origin} gives is no health of a Sluice`
    throw new BenchError(`--target: ${why}`)
  }
  return {
    address: { host, port }, pid: undefined, health: () => askHealth(host, port),
    memory: () => undefined, cpuUs: () => undefined, watched: async () => [],
  }
}

/** Starts `sluice serve` on a free port; of repeated flags, the last one wins. */
export async function startServer(
  runner: RoleProcess<'runner'>, start: ServerStart,
): Promise<MeasuredServer> {
  const started = await runner.call('start', start)
  if (!started.ok) throw new BenchError(`the server ${started.reason}`)
  const { host, port, pid } = started
  return {
    address: { host, port }, pid, health: () => askHealth(host, port),
    memory: () => readMemory(pid), cpuUs: () => readCpuUs(pid),
    watched: async () => (await runner.call('seconds', null)).seconds,
  }
}

async function askHealth(host: string, port: number): Promise<Health> {
  const authority = host.includes(':') ? `[${host}]` : host
  const response = await fetch(`http://${authority}:${port}/health`,
    { headers: KEY_HEADERS, signal: AbortSignal.timeout(ANSWER_MS_MAX) })
  return await response.json() as Health
}
