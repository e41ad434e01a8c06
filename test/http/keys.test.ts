// `sluice keys` with a running server, and without one.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { SystemClock } from '../../shards/base/clock.ts'
import { createLog } from '../../src/base/log.ts'
import { ControlServer } from '../../src/control/server.ts'
import { type CommandEnd, runCommand } from '../support/command.ts'
import { startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const KEY = /^slk_([0-9A-Za-z]{12})_[0-9A-Za-z]{43}\n$/

const keys = (folder: string, ...args: string[]): Promise<CommandEnd> =>
  runCommand(folder, ['keys', ...args, '--data', path.join(folder, 'data')])

/** Adds a key; returns its id. */
async function add(folder: string, ...args: string[]): Promise<string> {
  const { code, stderr, stdout } = await keys(folder, 'add', ...args)
  assert.equal(code, 0, stderr)
  const id = KEY.exec(stdout)?.[1]
  assert.ok(id !== undefined, stdout)
  assert.match(stderr,
    new RegExp(`^sluice: this is the key ${id} of \\S+; it is shown this once`, 'm'))
  return id
}

async function listed(folder: string): Promise<Record<string, unknown>[]> {
  const { code, stderr, stdout } = await keys(folder, 'list', '--json')
  assert.equal(code, 0, stderr)
  return stdout.trim().split('\n').filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

const refusal = async (folder: string, ...args: string[]): Promise<string> => {
  const { code, stderr, stdout } = await keys(folder, ...args)
  assert.deepEqual([code, stdout], [1, ''])
  return stderr
}

function folderOf(t: TestContext): { folder: string, data: string, file: string } {
  const folder = temporaryFolder(t)
  const data = path.join(folder, 'data')
  return { folder, data, file: path.join(data, 'keys.json') }
}

describe('without a server', () => {
  it('keys are added, listed and revoked in the file of the data folder', async (t) => {
    const { data, file, folder } = folderOf(t)
    assert.equal((await keys(folder, 'list')).stdout,
      'there are no keys; sluice keys add --name NAME makes one\n')
    assert.match(await refusal(folder, 'revoke', 'AAAAAAAAAAAA'), /there is no key with this id/)
    const id = await add(folder, '--name', 'billing', '--scopes', 'submit', '--tenant', '7',
      '--users', 'many', '--expires', '30d', '--jobs-queued', '5', '--rate', '2/s',
      '--streams', '3', '--sockets', '4')
    const [entry] = await listed(folder)
    const { created, expires, ...rest } = entry ?? {}
    assert.deepEqual(rest, {
      id, number: 1, name: 'billing', tenant: 7, scopes: ['submit'], users: 'many',
      limits: { jobs_queued: 5, submissions_per_second: 2, streams: 3, sockets: 4 },
      last_used: null,
    })
    const days = (Date.parse(String(expires)) - Date.parse(String(created))) / 86_400_000
    assert.ok(Math.abs(days - 30) < 0.01, `${days}`)
    const { stdout } = await keys(folder, 'list')
    assert.match(stdout, /^id +name +tenant +scopes +users +expires +last used +limits\n/)
    assert.match(stdout, new RegExp(`\n${id}  billing  7 +submit  many +\\d{4}-\\S+Z  never +jobs`))
    assert.deepEqual(readdirSync(data), ['keys.json'])
    assert.equal((await keys(folder, 'revoke', id)).stdout, `revoked ${id} of billing\n`)
    assert.deepEqual(await listed(folder), [])
    assert.match(readFileSync(file, 'utf8'), /"keys":\[\s*\]/)
  })

  it('is what the command says, with the file that it used', async (t) => {
    const { data, file, folder } = folderOf(t)
    const told = (verb: string): string => `sluice: no server runs on ${data}: ${verb} ${file}; ` +
      'name the server\'s folder with --data\n'
    const added = await keys(folder, 'add', '--name', 'a')
    assert.ok(added.stderr.startsWith(told('wrote')), added.stderr)
    assert.equal((await keys(folder, 'list')).stderr, told('read'))
    const id = KEY.exec(added.stdout)?.[1] ?? ''
    assert.equal((await keys(folder, 'revoke', id)).stderr, told('wrote'))
    assert.equal(await refusal(folder, 'revoke', id),
      `${told('read')}sluice: there is no key with this id\n`)
    const outside = await runCommand(folder, ['keys', 'list', '--journal', 'off', '--port', '26201',
      '--keys-file', 'other.json'])
    assert.equal(outside.stderr, `sluice: no server runs on ${folder}/sluice-26201.sock: read ` +
      `${folder}/other.json; name the server's socket with --control\n`)
  })

  it('a wrong option is named, and nothing is written', async (t) => {
    const { folder } = folderOf(t)
    for (const [option, value] of [['tenant', '65536'], ['scopes', 'all'], ['users', 'two'],
      ['expires', '1999-01-01'], ['rate', '0'], ['jobs-queued', 'x'], ['streams', '1.5'],
      ['sockets', '-1']] as const) {
      const text = await refusal(folder, 'add', '--name', 'a', `--${option}=${value}`)
      assert.ok(text.includes(`\nsluice: --${option}: expected `), text)
    }
    assert.match(await refusal(folder, 'add', '--name', 'a\nb'), /--name: expected 1 to 64 bytes/)
    assert.deepEqual(await listed(folder), [])
    const none = await runCommand(folder, ['keys', 'add', '--name', 'a', '--journal', 'off'])
    assert.match(none.stderr, /name a key file with --keys-file/)
  })

  it('a folder that a process has locked is left alone', async (t) => {
    const { data, folder } = folderOf(t)
    const id = await add(folder, '--name', 'a')
    const lock = await ControlServer.open(path.join(data, 'control.sock'), new SystemClock(),
      createLog('silent'))
    t.after(() => lock.close())
    assert.match(await refusal(folder, 'add', '--name', 'b'), /the server is still starting/)
    assert.match(await refusal(folder, 'revoke', id), /the server is still starting/)
  })
})

describe('a running server', () => {
  it('has the keys of the file, and takes and keeps changes', async (t) => {
    const { data, file, folder } = folderOf(t)
    const first = await add(folder, '--name', 'first')
    const flags = ['--journal', 'interval', '--data', data]
    const server = await startServer({ flags }, t)
    assert.deepEqual((await listed(folder)).map(({ id }) => id), [first])
    const second = await add(folder, '--name', 'second')
    assert.equal((await keys(folder, 'list')).stderr, '')
    assert.match(readFileSync(file, 'utf8'), new RegExp(second))
    assert.match(await refusal(folder, 'add', '--name', 'a', '--tenant', 'x'), /--tenant: expected/)
    assert.match(await refusal(folder, 'add', '--name', 'a', '--keys-file', 'other.json'),
      /has its keys in \S+keys\.json: leave --keys-file out/)
    assert.equal((await keys(folder, 'revoke', first)).code, 0)
    assert.match(await refusal(folder, 'revoke', first), /there is no key with this id/)

    const good = readFileSync(file, 'utf8')
    writeFileSync(file, good.replace('second', 'sec\\nond'))
    const reload = await runCommand(folder, ['reload', '--data', data])
    assert.equal(reload.code, 1)
    assert.match(reload.stderr, /keys\.json is wrong at keys\[0\]\.name: expected 1 to 64 bytes/)
    writeFileSync(file, good.replace('second', 'renamed'))
    assert.equal((await runCommand(folder, ['reload', '--data', data])).code, 0)
    assert.deepEqual((await listed(folder)).map(({ name }) => name), ['renamed'])

    assert.equal(await server.stop(), 0)
    const lines = server.stderr.split('\n').filter((line) => / a key"/.test(line))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.deepEqual(lines.map(({ id, msg, name }) => [msg, id, name]),
      [['added a key', second, 'second'], ['revoked a key', first, 'first']])
    assert.doesNotMatch(server.stderr, /slk_|sha256/)
    assert.deepEqual((await listed(folder)).map(({ id }) => id), [second])
  })

  it('does not start with a key file or a key set that is wrong', async (t) => {
    const { folder } = folderOf(t)
    const file = path.join(folder, 'mounted.json')
    writeFileSync(file, '{"version":2}')
    await assert.rejects(startServer({ flags: ['--keys-file', file] }, t),
      /mounted\.json is wrong at version: expected 1/)
    await assert.rejects(startServer({ flags: ['--jwt-jwks', file] }, t),
      /jwt\.issuer \(flag --jwt-jwks\): got none, expected the issuer of tokens, since jwt\.jwks/)
    const flags = ['--jwt-jwks', file, '--jwt-issuer', 'a', '--jwt-audience', 'b']
    await assert.rejects(startServer({ flags }, t), /mounted\.json is not a JSON Web Key Set/)
  })
})
