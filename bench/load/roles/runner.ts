// Starts the measured server and stops it when the bench has ended, even if that was killed: a
// server that holds gigabytes must not be left behind, and neither must its files.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import type { ServerSecond } from '../server-watch.ts'
import type { RunnerCommands, ServerStart, StartedServer } from './messages.ts'
import { serveRole } from './role-loop.ts'

const MAIN = path.resolve(import.meta.dirname, '../../../src/main.ts')
const LISTENING = /^listening on http:\/\/(\S+):(\d+)$/m
const WATCH = path.resolve(import.meta.dirname, '../server-watch.ts')
const OUTPUT_CHARS_MAX = 65_536
/** The tunable that scripts/set-up.sh sets for servers. */
const HUGE_PAGES = 'glibc.malloc.hugetlb=1'

let seconds: ServerSecond[] = []
/** Stops the server and removes its files. */
let end: (() => Promise<void>) | undefined

function start({ flags, folder, watched }: ServerStart): Promise<StartedServer> {
  const args = [...process.execArgv, ...(watched ? ['--import', WATCH] : []), MAIN, 'serve',
    // The disk is measured only where flags ask for it.
    '--host', '127.0.0.1', '--port', '0', '--log-level', 'warn', '--journal', 'off',
    '--data', path.join(folder, `data-${process.pid}`),
    '--control', path.join(folder, `${process.pid}.sock`), ...flags]
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { GLIBC_TUNABLES: HUGE_PAGES, ...process.env },
  })
  const told = child.stdio[3]
  if (told instanceof Readable) {
    createInterface(told).on('line', (line) => seconds.push(JSON.parse(line) as ServerSecond))
  }
  process.on('exit', () => { child.kill('SIGKILL') })
  const ended = once(child, 'close').catch(() => {})
  end = async () => {
    child.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  return listening(child)
}

/** Resolves when the server listens, or has ended instead. */
function listening(child: ChildProcess): Promise<StartedServer> {
  const { promise, resolve } = Promise.withResolvers<StartedServer>()
  let output = ''
  let errors = ''
  let hasListened = false
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-OUTPUT_CHARS_MAX)
    const match = LISTENING.exec(output)
    if (match === null) return
    hasListened = true
    resolve({ ok: true, host: match[1] ?? '', port: Number(match[2]), pid: child.pid ?? 0 })
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-OUTPUT_CHARS_MAX)
  })
  child.on('error', ({ message }) => resolve({ ok: false, reason: `did not start: ${message}` }))
  child.on('close', (code, signal) => {
    const reason = `ended with ${signal ?? code}:\n${errors}`
    resolve({ ok: false, reason })
    if (!hasListened || !process.connected) return
    // The bench detects this process's end.
    process.stderr.write(`the server ${reason}`, () => process.exit(1))
  })
  return promise
}

serveRole<RunnerCommands>({
  start,
  seconds: () => {
    const told = seconds
    seconds = []
    return { seconds: told }
  },
}, async () => end?.())
