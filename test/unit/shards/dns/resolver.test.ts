// Host names, looked up at a real name server in virtual time: nobody waits for another's name,
// what is kept holds as long as it should, and hosts file and search domains count.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Micros, msToUs } from '../../../../shards/base/units.ts'
import { DnsSource } from '../../../../shards/dns/dns-source.ts'
import { KeptNames } from '../../../../shards/dns/kept-names.ts'
import { Lookups } from '../../../../shards/dns/lookups.ts'
import type { NameError } from '../../../../shards/dns/name-error.ts'
import { NameFiles } from '../../../../shards/dns/name-files.ts'
import type { NameSource } from '../../../../shards/dns/name-source.ts'
import { Resolver } from '../../../../shards/dns/resolver.ts'
import { RETRY_BASE_MS } from '../../../../shards/memory/limits.ts'
import {
  LOOKUPS_MAX, NAMES_KEPT_MAX, NAME_ADDRESSES_KEPT_MAX, NAME_FAILURE_MS,
} from '../../../../shards/memory/name-limits.ts'
import { type DnsServer, startDnsServer } from '../../../support/dns-server.ts'
import { temporaryFolder } from '../../../support/temporary-folder.ts'
import { VirtualTime } from '../../../support/virtual-clock.ts'

interface Scene {
  readonly server: DnsServer
  readonly resolver: Resolver
  readonly time: VirtualTime
  readonly write: (file: 'hosts' | 'resolv.conf', text: string) => void
  /** The addresses, sorted; or the error's code. */
  readonly find: (name: string) => Promise<string>
  readonly pass: (ms: number) => void
}

async function startScene(t: TestContext, resolvConf = ''): Promise<Scene> {
  const server = await startDnsServer(t)
  const folder = temporaryFolder(t)
  const time = new VirtualTime()
  const write: Scene['write'] = (file, text) => writeFileSync(path.join(folder, file), text)
  write('hosts', '127.0.0.7 listed.test Listed\n')
  write('resolv.conf', `${resolvConf}\noptions timeout:1 attempts:1\n`)
  const families = (): { v4: boolean; v6: boolean } => ({ v4: true, v6: false })
  const files = new NameFiles({
    hostsPath: path.join(folder, 'hosts'), resolvConfPath: path.join(folder, 'resolv.conf'),
    clock: time.clock(),
  })
  const source = new DnsSource({ files, servers: [server.address], families })
  const resolver = new Resolver({ source, clock: time.clock(), families })
  t.after(() => resolver.close())
  const find = (name: string): Promise<string> => new Promise((resolve) => {
    resolver.find(name, (found) => resolve(
      found instanceof Error ? (found as NameError).code : [...found].toSorted().join(' ')))
  })
  const pass = (ms: number): void => time.advanceTo((time.nowUs() + msToUs(ms)) as Micros)
  return { server, resolver, time, write, find, pass }
}

test('many silent names delay no other', async (t) => {
  const { server, resolver, find } = await startScene(t)
  server.says.set('good.test', { addresses: ['127.0.0.1'] })
  let heard = 0
  const names = Array.from({ length: 64 }, (_, at) => `slow${at}.test`)
  for (const name of names) {
    server.says.set(name, 'silence')
    resolver.find(name, () => { heard += 1 })
  }
  assert.equal(await find('good.test'), '127.0.0.1')
  assert.equal(heard, 0, 'the silent ones are still waited for')
})

test('one look-up serves all who ask, and its answer holds for its time to live', async (t) => {
  const { server, find, pass } = await startScene(t)
  server.says.set('a.test', { addresses: ['127.0.0.1'], ttlS: 30 })
  await Promise.all(Array.from({ length: 50 }, () => find('a.test')))
  server.says.set('a.test', { addresses: ['127.0.0.2'], ttlS: 30 })
  pass(29_999)
  assert.equal(await find('a.test'), '127.0.0.1')
  assert.deepEqual(server.asked, ['a.test'])
  pass(1)
  assert.equal(await find('a.test'), '127.0.0.2')
  assert.deepEqual(server.asked, ['a.test', 'a.test'])
})

test('a failure is kept for a moment, and old addresses are used while servers fail', async (t) => {
  const { server, find, pass } = await startScene(t)
  assert.ok(NAME_FAILURE_MS <= RETRY_BASE_MS)
  assert.equal(await find('new.test'), 'ENOTFOUND')
  server.says.set('new.test', { addresses: ['127.0.0.1'], ttlS: 10 })
  assert.equal(await find('new.test'), 'ENOTFOUND')
  assert.equal(server.asked.length, 1)
  pass(NAME_FAILURE_MS)
  assert.equal(await find('new.test'), '127.0.0.1')
  pass(10_000)
  server.says.set('new.test', 'failure')
  assert.equal(await find('new.test'), '127.0.0.1', 'better than nothing')
  pass(NAME_FAILURE_MS)
  server.says.set('new.test', 'none')
  assert.equal(await find('new.test'), '127.0.0.1', 'asked for in the background')
  server.says.set('never.test', 'failure')
  assert.equal(await find('never.test'), 'EAI_AGAIN')
  await server.askedFor('new.test', 4)
  pass(NAME_FAILURE_MS)
  assert.equal(await find('new.test'), 'ENOTFOUND', 'its server says that there is none')
})

test('a silent server is told from a name that is not there', async (t) => {
  const { server, find } = await startScene(t)
  server.says.set('slow.test', 'silence')
  assert.equal(await find('slow.test'), 'EAI_AGAIN')
})

test('search domains are tried in order, as ndots says, and followed', async (t) => {
  const { server, find, pass, write } = await startScene(t,
    'search default.svc.cluster.local svc.cluster.local\noptions ndots:5')
  server.says.set('api.svc.cluster.local', { addresses: ['127.0.0.1'] })
  server.says.set('example.com', { addresses: ['127.0.0.2'] })
  assert.equal(await find('api'), '127.0.0.1')
  assert.equal(await find('example.com'), '127.0.0.2')
  assert.equal(await find('example.com.'), '127.0.0.2')
  assert.deepEqual(server.asked, [
    'api.default.svc.cluster.local', 'api.svc.cluster.local',
    'example.com.default.svc.cluster.local', 'example.com.svc.cluster.local', 'example.com',
    'example.com',
  ])
  write('resolv.conf', 'search other.test\noptions timeout:1 attempts:1 ndots:1\n')
  pass(5000)
  server.asked.length = 0
  assert.equal(await find('x.y'), 'ENOTFOUND')
  assert.deepEqual(server.asked, ['x.y', 'x.y.other.test'])
})

test('the hosts file and localhost need no name server', async (t) => {
  const { server, find, pass, write } = await startScene(t)
  server.says.set('listed.test', { addresses: ['127.0.0.9'] })
  assert.equal(await find('listed.test'), '127.0.0.7')
  assert.equal(await find('listed.'), '127.0.0.7')
  assert.equal(await find('localhost'), '127.0.0.1 ::1')
  assert.equal(await find('a.localhost'), '127.0.0.1 ::1')
  assert.deepEqual(server.asked, [])
  write('hosts', '# empty now\n')
  pass(1000)
  assert.equal(await find('listed.test'), '127.0.0.9')
})

test('an answer that is cut off is asked for by TCP', async (t) => {
  const { server, find } = await startScene(t)
  server.says.set('long.test', { addresses: ['127.0.0.1', '127.0.0.2'], cutOff: true })
  assert.equal(await find('long.test'), '127.0.0.1 127.0.0.2')
  assert.deepEqual(server.askedByTcp, ['long.test'])
})

/** A source that never answers, and knows what is asked of it. */
function silentSource(): NameSource & { readonly running: Set<string> } {
  const running = new Set<string>()
  return {
    running, known: () => undefined,
    ask: (name) => {
      running.add(name)
      return () => { running.delete(name) }
    },
  }
}

test('a look-up is let go with the last who waits for it', () => {
  const source = silentSource()
  const lookups = new Lookups({ source, clock: new VirtualTime().clock(), keep: () => {} })
  const [first, second] = [(): void => {}, (): void => {}]
  lookups.join('a.test', first)
  lookups.join('a.test', second)
  lookups.leave('a.test', first)
  assert.deepEqual([...source.running], ['a.test'])
  lookups.leave('a.test', second)
  assert.deepEqual([...source.running], [])
})

test('an account has its share of the look-ups; beyond it its own oldest ends', () => {
  const source = silentSource()
  const failed: string[] = []
  const lookups = new Lookups({
    source, clock: new VirtualTime().clock(), keep: (name) => failed.push(name),
  })
  lookups.join('quiet.example', () => {}, 1)
  for (let at = 0; at < 2 * LOOKUPS_MAX; at++) lookups.join(`zone${at}.test`, () => {}, 2)
  assert.equal(source.running.size, 1 + LOOKUPS_MAX * 3 / 4)
  assert.ok(source.running.has('quiet.example'), 'the oldest of all, but of another account')
  assert.equal(failed[0], 'zone0.test')
})

test('at the bound a look-up of the account, or else the zone, that holds the most ends', () => {
  const source = silentSource()
  const failed: string[] = []
  const lookups = new Lookups({
    source, clock: new VirtualTime().clock(), keep: (name) => failed.push(name),
  })
  lookups.join('quiet.example', () => {}, 1)
  for (let at = 0; at < 2 * LOOKUPS_MAX; at++) {
    lookups.join(`n${at}.attack.test`, () => {}, 2 + at)
  }
  assert.equal(source.running.size, LOOKUPS_MAX)
  assert.ok(source.running.has('quiet.example'), 'one look-up each, but of another zone')
  assert.equal(failed[0], 'n0.attack.test')
})

test('what is kept of names is bounded by their number and by their addresses', () => {
  const kept = new KeptNames()
  const nowUs = 0 as Micros
  for (let at = 0; at <= NAMES_KEPT_MAX; at++) kept.found(`n${at}`, ['127.0.0.1'], 60_000, nowUs)
  assert.equal(kept.get('n0'), undefined)
  assert.notEqual(kept.get('n1'), undefined)
  const many = Array.from({ length: NAME_ADDRESSES_KEPT_MAX }, () => '127.0.0.1')
  kept.found('large', many, 60_000, nowUs)
  assert.equal(kept.get(`n${NAMES_KEPT_MAX}`), undefined)
  assert.notEqual(kept.get('large'), undefined)
})
