// Commands whose output cannot be written, whose reader goes away, or that are interrupted.

import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, describe, test } from 'node:test'
import { TerminalBar } from '../../src/cli/terminal-bar.ts'
import { jobOf } from '../support/api-client.ts'
import { Gate, Scene, UNPACED, upstreamFor } from '../support/scene.ts'
import { freePort, SluiceProcess } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const MAIN = path.resolve(import.meta.dirname, '../../src/main.ts')
const FULL = '/dev/full'
const scene = new Scene({ flags: UNPACED })

/** A command line of the shell's; "$0" "$@" is Sluice. */
function shell(line: string, args: readonly string[]): { code: number | null; stderr: string } {
  const node = ['--disable-warning=ExperimentalWarning', MAIN]
  const { status, stderr } = spawnSync('sh', ['-c', line, process.execPath, ...node, ...args],
    { encoding: 'utf8', cwd: '/', input: '' })
  return { code: status, stderr }
}

const isReady = (url: string): Promise<boolean> => fetch(url).then(({ ok }) => ok, () => false)

/** A pipe of which nobody reads; it has room for 64 KiB. */
function unreadPipe(t: TestContext): number {
  const file = path.join(temporaryFolder(t), 'pipe')
  execFileSync('mkfifo', [file])
  const fd = openSync(file, constants.O_RDWR)
  t.after(() => closeSync(fd))
  return fd
}

function command(t: TestContext, ...args: string[]): SluiceProcess {
  const started = new SluiceProcess(args, { env: { SLUICE_SERVER: scene.server.url } })
  t.after(() => started.kill())
  return started
}

describe('output that cannot be written', { skip: process.platform !== 'linux' }, () => {
  test('is an error of the command, with its reason', async (t) => {
    const upstream = await upstreamFor(t)
    const submit = ['submit', '--server', scene.server.url, '--url', upstream.origin]
    for (const args of [['config'], ['--help'], submit]) {
      const { code, stderr } = shell(`"$0" "$@" > ${FULL}`, args)
      assert.equal(code, 1, args.join(' '))
      assert.match(stderr, /^sluice: cannot write to standard output: ENOSPC/)
    }
    assert.equal(shell(`"$0" "$@" > ${FULL}`, ['frob']).code, 2, 'nothing was to be written')
    assert.equal(shell(`"$0" "$@" 2> ${FULL}`, ['frob']).code, 2, 'it is not what matters')
  })

  test('is none to a server', async (t) => {
    const port = String(await freePort())
    const server = new SluiceProcess(['serve', '--port', port, '--memory', '128MiB',
      '--shards', '1', '--journal', 'off'])
    t.after(() => server.kill())
    server.closeStdout()
    while (!await isReady(`http://127.0.0.1:${port}/ready`)) { /* not yet */ }
    assert.equal(await server.stop('SIGTERM'), 0)
  })

  test('since nobody reads it keeps no server from its end', async (t) => {
    const port = String(await freePort())
    const serve = [process.execPath, '--disable-warning=ExperimentalWarning', MAIN,
      'serve', '--port', port, '--memory', '128MiB', '--shards', '1', '--journal', 'off',
      '--operate-listen', 'off']
    // A pipe that is full, and stays so, is both outputs of what is run.
    const full = 'head -c 65536 /dev/zero >&3; exec 1>&3 2>&3 3>&-; exec "$@"'
    const start = (...flags: string[]): ChildProcess => {
      const child = spawn('sh', ['-c', full, 'sh', ...serve, ...flags],
        { cwd: temporaryFolder(t), stdio: ['ignore', 'ignore', 'ignore', unreadPipe(t)] })
      t.after(() => child.kill('SIGKILL'))
      return child
    }
    const refused = start('--log-file', '/nowhere/sluice.log')
    assert.deepEqual(await once(refused, 'exit'), [1, null])
    const server = start()
    while (!await isReady(`http://127.0.0.1:${port}/ready`)) { /* not yet */ }
    server.kill('SIGTERM')
    assert.deepEqual(await once(server, 'exit'), [0, null])
  })
})

test('a folder as input is an error', () => {
  const { code, stderr } = shell('"$0" "$@" < /', ['submit', '--server', scene.server.url])
  assert.equal(code, 1)
  assert.match(stderr, /^sluice: cannot read the input: EISDIR/)
})

describe('a reader that goes away', () => {
  test('ends watch', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    const first = await scene.api.accept(jobOf(`${upstream.origin}/1`))
    const second = await scene.api.accept(jobOf(`${upstream.origin}/2`))
    const watch = command(t, 'watch', first, second)
    assert.ok(await watch.waitFor('stdout', /"watched"[\s\S]*"watched"/))
    watch.closeStdout()
    gate.release(1)
    assert.deepEqual(await watch.ended(), { code: 141, signal: null })
    assert.equal(watch.stderr, '')
    gate.open()
  })

  test('ends submit --wait', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    const submit = command(t, 'submit', '--wait', '--url', upstream.origin)
    await upstream.waitFor(1)
    submit.closeStdout()
    gate.open()
    assert.deepEqual(await submit.ended(), { code: 141, signal: null })
  })
})

describe('a signal', () => {
  test('ends submit with what is known', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    let arrived = 0
    for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]] as const) {
      let submit: SluiceProcess
      do {
        submit = command(t, 'submit', '--wait', '--url', upstream.origin)
        await upstream.waitFor(++arrived)
        submit.signal(signal)
        assert.deepEqual(await submit.ended(), { code, signal: null })
        // The job may be sent before its caller knows that it was accepted.
      } while (submit.stdout === '' && arrived < 10)
      assert.match(submit.stdout, /^{"line":1,"job_id":"[0-9a-f]{24}","status":"unknown",/)
      assert.equal(submit.stderr, 'sluice: interrupted; what was accepted goes on\n')
    }
    gate.open()
  })

  test('ends watch', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    const watch = command(t, 'watch', await scene.api.accept(jobOf(upstream.origin)))
    assert.ok(await watch.waitFor('stdout', /"watched"/))
    watch.signal('SIGINT')
    assert.deepEqual(await watch.ended(), { code: 130, signal: null })
    gate.open()
  })
})

test('a bar leaves the terminal as it was, at its end or that of the process', () => {
  const written: string[] = []
  const stream = {
    isTTY: true, columns: 80, write: (text: string) => written.push(text),
    cursorTo: () => {}, clearLine: () => {}, moveCursor: () => {},
  } as unknown as NodeJS.WriteStream
  const { end } = new TerminalBar(stream, '{bar}', 1, {})
  assert.ok(process.listeners('exit').includes(end), 'a process that ends by itself ends the bar')
  end()
  const text = written.join('')
  assert.ok(text.lastIndexOf('\x1b[?7h') > text.lastIndexOf('\x1b[?7l'), 'lines are wrapped again')
  assert.ok(text.includes('\x1b[?7l') && !text.includes('\x1b[?25l'), 'the cursor is never hidden')
  assert.ok(!process.listeners('exit').includes(end))
})
