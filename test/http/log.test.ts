// The log of a running server: files that cannot be written, that are moved away, readers that go.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, renameSync, rmSync, symlinkSync, watch } from 'node:fs'
import path from 'node:path'
import { it } from 'node:test'
import { get, post } from '../support/client.ts'
import { SluiceProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const MAIN = path.resolve(import.meta.dirname, '../../src/main.ts')
const JOB = {
  user_id: 'u', idempotent_key: 'k', url: 'http://127.0.0.1:9/', method: 'GET', delivery: 'poll',
}

interface LogHealth { reloads: number, log: { dropped_lines: number, trouble: string | null } }

const health = async (url: string): Promise<LogHealth> =>
  (await get(`${url}/health`)).json() as unknown as LogHealth

/** Has the server reload so often, each of which logs a line; resolves with /health after that. */
async function reload(server: { url: string, signal(signal: 'SIGHUP'): void }, times = 1):
  Promise<LogHealth> {
  let { reloads } = await health(server.url)
  for (const until = reloads + times; reloads < until;) {
    server.signal('SIGHUP')
    const before = reloads
    while (reloads === before) ({ reloads } = await health(server.url))
  }
  return health(server.url)
}

async function fileHas(file: string, pattern: RegExp): Promise<void> {
  const watcher = watch(path.dirname(file))
  while (!existsSync(file) || !pattern.test(readFileSync(file, 'utf8'))) {
    await once(watcher, 'change')
  }
  watcher.close()
}

it('a full disk under the log stops nothing, and the log goes on by itself', async (t) => {
  const folder = temporaryFolder(t)
  const file = path.join(folder, 'sluice.log')
  symlinkSync('/dev/full', file)
  const server = await startServer({ flags: ['--log-file', file] }, t)
  const full = await reload(server, 2)
  assert.equal(full.log.trouble, 'ENOSPC')
  assert.ok(full.log.dropped_lines > 0)
  assert.equal((await post(`${server.url}/jobs`, JOB)).status, 201)

  rmSync(file)
  server.signal('SIGUSR1')
  await fileHas(file, /opened the log file anew.*\n.*"dropped":\d+.*written again/)
  const { log } = await health(server.url)
  assert.equal(log.trouble, null)

  renameSync(file, `${file}.1`)
  await reload(server)
  server.signal('SIGUSR1')
  await fileHas(file, /opened the log file anew/)
  assert.equal(await server.stop(), 0)
  assert.match(readFileSync(`${file}.1`, 'utf8'), /reloaded code and configuration/)
  assert.match(readFileSync(file, 'utf8'), /"stopping"/)
  assert.equal(server.stderr, '') // neither the log nor Node's inspector
})

it('a reader of the log that is gone stops nothing', async (t) => {
  const child = spawn(process.execPath, [
    '--disable-warning=ExperimentalWarning', MAIN,
    'serve', '--port', '0', '--memory', '64MiB', '--journal', 'off',
  ], { cwd: temporaryFolder(t), stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text })
  while (!/^listening on .*$/m.test(output)) await once(child.stdout, 'data')
  child.stdout.destroy()
  child.stderr.destroy()
  const url = /^listening on (.*)$/m.exec(output)?.[1] ?? ''
  const { log } = await reload({ url, signal: (signal) => child.kill(signal) }, 2)
  assert.equal(log.trouble, 'EPIPE')
  assert.ok(log.dropped_lines > 0)
  child.kill('SIGUSR1') // there is no file to open anew
  assert.equal((await get(`${url}/ready`)).status, 200)
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'exit'), [0, null])
})

it('a log file that cannot be opened is said at the start', async () => {
  const server = new SluiceProcess(['serve', '--port', '0', '--log-file', '/nowhere/sluice.log'])
  const { code } = await server.ended()
  assert.equal(code, 1)
  assert.match(server.stderr,
    /^sluice: cannot write the log to \/nowhere\/sluice\.log \(ENOENT.*--log-file\n$/)
})
