// The control socket: what it answers to whom, and which of several servers gets it.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import {
  existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type Socket, connect } from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { SystemClock } from '../../shards/base/clock.ts'
import { CONTROL_LINE_BYTES_MAX } from '../../src/base/limits.ts'
import { createLog } from '../../src/base/log.ts'
import { callControl } from '../../src/control/client.ts'
import type { ControlCommands } from '../../src/control/commands.ts'
import { controlFile } from '../../src/control/place.ts'
import { ControlServer } from '../../src/control/server.ts'
import { SluiceProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const log = createLog('silent')
const clock = (): SystemClock => new SystemClock()

function fileFor(t: TestContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'sluice-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return path.join(folder, 'control.sock')
}

async function open(t: TestContext, file: string, commands?: ControlCommands):
  Promise<ControlServer> {
  const server = await ControlServer.open(file, clock(), log)
  t.after(() => server.close())
  if (commands !== undefined) server.commands(commands)
  return server
}

const ECHO: ControlCommands = new Map([['echo', async ({ text }, asking) => {
  asking.progress({ text })
  return text === 'no' ? { ok: false, error: 'no' } : { ok: true, fields: { text } }
}]])

/** All that is answered until the server ends the connection. */
async function talk(file: string, said: string | Buffer, isLast = true): Promise<unknown[]> {
  const socket = connect(file)
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => { text += chunk })
  socket.on('error', () => { /* a reset while it still speaks */ })
  if (isLast) socket.end(said)
  else socket.write(said)
  await once(socket, 'close')
  return text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as unknown)
}

describe('the control socket', () => {
  it('answers each line, in order, with progress before the end', async (t) => {
    const file = fileFor(t)
    await open(t, file, ECHO)
    const lines = ['yes', 'no'].map((text) => `{"command":"echo","text":"${text}"}\n`).join('\n')
    assert.deepEqual(await talk(file, lines), [
      { progress: { text: 'yes' } }, { ok: true, text: 'yes' },
      { progress: { text: 'no' } }, { error: 'no' },
    ])
  })

  it('takes a line in pieces', async (t) => {
    const file = fileFor(t)
    await open(t, file, ECHO)
    const socket = connect(file)
    socket.setNoDelay(true)
    for (const char of '{"command":"echo","text":"é"}\n') socket.write(char)
    const [chunk] = await once(socket, 'data') as [Buffer]
    assert.match(chunk.toString(), /"text":"é"/)
    socket.destroy()
  })

  it('answers garbage, and goes on', async (t) => {
    const file = fileFor(t)
    await open(t, file, ECHO)
    const said = ['garbage', '[]', 'null', '{"command":7}', '{"command":"constructor"}', '"\u0000"',
      '{"command":"echo"}'].join('\n')
    const answers = await talk(file, `${said}\n`) as { error?: string, ok?: boolean }[]
    assert.equal(answers.length, 8)
    for (const answer of answers.slice(0, 6)) assert.ok(answer.error, JSON.stringify(answer))
    assert.match(String(answers[4]?.error), /no such command; known are echo/)
    assert.equal(answers[7]?.ok, true)
  })

  it('ends a connection with a line that is too long, whole or not', async (t) => {
    const file = fileFor(t)
    await open(t, file, ECHO)
    for (const end of ['', '\n']) {
      const said = Buffer.from(`${' '.repeat(CONTROL_LINE_BYTES_MAX + 1)}${end}`)
      const [answer] = await talk(file, said, false) as [{ error: string }]
      assert.match(answer.error, /at most 4096 bytes/)
    }
    assert.deepEqual(await talk(file, `${' '.repeat(CONTROL_LINE_BYTES_MAX)}\n`), [])
  })

  it('says so while the server is still starting', async (t) => {
    const file = fileFor(t)
    await open(t, file)
    assert.deepEqual(await talk(file, '{"command":"echo"}\n'),
      [{ error: 'the server is still starting' }])
  })

  it('lives through a command that fails', async (t) => {
    const file = fileFor(t)
    await open(t, file, new Map([...ECHO, ['bad', () => Promise.reject(new Error('secret'))]]))
    const [answer] = await talk(file, '{"command":"bad"}\n') as [{ error: string }]
    assert.doesNotMatch(answer.error, /secret/)
    assert.equal((await talk(file, '{"command":"echo"}\n')).length, 2)
  })

  it('tells a command that its client has gone', async (t) => {
    const file = fileFor(t)
    const began = Promise.withResolvers<void>()
    const over = Promise.withResolvers<void>()
    await open(t, file, new Map([['wait', async (_request, { gone, progress }) => {
      began.resolve()
      const timer = setInterval(() => progress({}), 5)
      await gone
      clearInterval(timer)
      over.resolve()
      return { ok: true } as const
    }]]))
    const socket: Socket = connect(file, () => socket.write('{"command":"wait"}\n'))
    await began.promise
    socket.destroy()
    await over.promise
  })

  it('is its owner\'s alone, and gone at the end', async (t) => {
    const file = fileFor(t)
    const server = await open(t, file, ECHO)
    assert.equal(statSync(file).mode & 0o777, 0o600)
    server.close()
    assert.equal(existsSync(file), false)
  })
})

describe('of several servers', () => {
  it('only the first gets the socket', async (t) => {
    const file = fileFor(t)
    await open(t, file, ECHO)
    await assert.rejects(open(t, file), { code: 'control_taken' })
    assert.equal((await talk(file, '{"command":"echo"}\n')).length, 2, 'the first is still there')
  })

  it('one replaces the file of one that was killed, even if many try at once', async (t) => {
    const file = fileFor(t)
    const server = await startServer({ flags: ['--control', file] }, t)
    await server.kill()
    assert.ok(existsSync(file), 'a killed process removes nothing')
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => open(t, file, ECHO)))
    assert.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1)
    assert.equal((await talk(file, '{"command":"echo"}\n')).length, 2)
  })

  it('the second in a data folder ends, though its socket has another name', async (t) => {
    const first = await startServer({ flags: ['--journal', 'interval'] }, t)
    const data = path.join(first.folder, 'sluice-data')
    assert.equal((await talk(path.join(data, 'control.sock'), '{"command":"?"}\n')).length, 1)
    const second = new SluiceProcess(['serve', '--port', '0', '--memory', '128MiB',
      '--journal', 'interval', '--data', data, '--control', 'other.sock'])
    assert.equal((await second.ended()).code, 1)
    assert.match(second.stderr, /^sluice: another server answers at .*two must not share/)
    assert.equal(await first.stop(), 0)
  })

  it('the second ends with a clear error', async (t) => {
    const file = fileFor(t)
    const first = await startServer({ flags: ['--control', file] }, t)
    const second = new SluiceProcess(
      ['serve', '--port', '0', '--memory', '128MiB', '--control', file])
    assert.equal((await second.ended()).code, 1)
    assert.match(second.stderr, /^sluice: another server answers at .*control\.sock/)
    assert.equal(await first.stop(), 0)
    assert.equal(existsSync(file), false)
  })
})

describe('the socket\'s place', () => {
  const facts = { control: '', dataFolder: undefined, port: 4000, env: {}, cwd: '/here' }

  it('is the setting, the data folder, or one with the port in its name', () => {
    assert.equal(controlFile({ ...facts, control: 'a.sock', dataFolder: '/d' }), '/here/a.sock')
    assert.equal(controlFile({ ...facts, dataFolder: '/d' }), '/d/control.sock')
    const env = { XDG_RUNTIME_DIR: '/run/user/7' }
    assert.equal(controlFile({ ...facts, env }), '/run/user/7/sluice-4000.sock')
    assert.equal(controlFile(facts), path.join(os.tmpdir(), 'sluice-4000.sock'))
  })

  it('may be too long for the system', async () => {
    const file = `/tmp/${'x'.repeat(120)}.sock`
    const run = new SluiceProcess(['serve', '--port', '0', '--control', file])
    assert.equal((await run.ended()).code, 1)
    assert.match(run.stderr, /more than \d+ bytes.*shorter one with --control/)
  })

  it('is not taken from a file that is no socket', async (t) => {
    const folder = temporaryFolder(t)
    const file = path.join(folder, 'sluice.yaml')
    writeFileSync(file, 'shards: 1\n')
    symlinkSync(file, path.join(folder, 'link'))
    for (const control of [file, path.join(folder, 'link'), folder]) {
      await assert.rejects(open(t, control), { code: 'control_failed' }, control)
    }
    assert.equal(readFileSync(file, 'utf8'), 'shards: 1\n')
    assert.deepEqual(readdirSync(folder), ['link', 'sluice.yaml'])
  })

  it('may be deeper than the system has room for', async (t) => {
    if (process.platform !== 'linux') return t.skip('other systems have no /proc')
    const folder = path.join(temporaryFolder(t), 'd'.repeat(100), 'e'.repeat(100))
    const file = path.join(folder, 'control.sock')
    await assert.rejects(open(t, file), { code: 'control_failed' }, 'no folder is made for it')
    mkdirSync(folder, { recursive: true })
    const server = await open(t, file, ECHO)
    const call = callControl(file, { command: 'echo' })
    assert.equal((await call.answer).ok, true)
    await assert.rejects(open(t, file), { code: 'control_taken' })
    server.close()
    assert.deepEqual(readdirSync(folder), [])
  })

  it('may be one where nothing can be made: an error only if it was asked for', async (t) => {
    const file = '/dev/null/control.sock'
    const run = new SluiceProcess(['serve', '--port', '0', '--control', file])
    assert.equal((await run.ended()).code, 1)
    assert.match(run.stderr, /^sluice: cannot make the control socket \/dev\/null/)
    const server = await startServer(
      { env: { XDG_RUNTIME_DIR: '/dev/null' }, flags: ['--journal', 'off'] }, t)
    assert.match(server.stderr, /there is no control socket/)
    assert.equal(await server.stop(), 0)
  })
})
