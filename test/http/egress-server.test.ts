// Where the requests of a real server that listens beyond loopback may go: refused in every
// notation, with the rule's name, for jobs and for webhooks; and what a reload changes, also for
// connections that are open.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { ApiClient, jobOf } from '../support/api-client.ts'
import { runCommand } from '../support/command.ts'
import { PRINT_DIALS } from '../support/dial-guard.ts'
import { type DnsServer, startDnsServer } from '../support/dns-server.ts'
import { Gate, UNPACED, upstreamFor } from '../support/scene.ts'
import { startServer } from '../support/server.ts'

const PRIVATE = 'private 10.0.0.0/8'
const LOOPBACK = 'loopback 127.0.0.0/8'

/** Hosts as callers may write them, by the rule that refuses them. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  metadata: [
    '169.254.169.254', '169.254.169.254.', '2852039166', '0xa9fea9fe', '0xA9FEA9FE',
    '025177524776', '0xa9.0xfe.0xa9.0xfe', '0251.0376.0251.0376', '00251.00376.00251.00376',
    '0xa9.254.0251.254', '169.254.43518', '169.16689662', '0xa9.0xfea9fe', '169.254.0xa9fe',
    '%31%36%39.254.169.254', '１６９.254.169.254', '169。254。169。254', '169.254.169.254%2e',
    '①⑥⑨.②⑤④.169.254', '169.254.170.2', '100.100.100.200', '[::ffff:6464:64c8]',
    '[::ffff:169.254.169.254]', '[::ffff:a9fe:a9fe]', '[0:0:0:0:0:ffff:a9fe:a9fe]',
    '[0000::FFFF:A9FE:A9FE]', '[::169.254.169.254]', '[::a9fe:a9fe]', '[::ffff:0:a9fe:a9fe]',
    '[64:ff9b::169.254.169.254]', '[64:ff9b::a9fe:a9fe]', '[64:ff9b:1::a9fe:a9fe]',
    '[2002:a9fe:a9fe::]', '[2002:a9fe:a9fe::1]', '[2001:db8::5efe:a9fe:a9fe]', '[fd00:ec2::254]',
    '[fd00:0ec2:0:0:0:0:0:254]', '[FD00:EC2::254]',
  ],
  'link-local': [
    '169.254.0.1', '169.254.255.255', '169.254.1.1', '[fe80::1]', '[febf::1]',
    '[::ffff:169.254.1.1]', '[64:ff9b::a9fe:101]',
  ],
  [PRIVATE]: [
    '10.0.0.1', '10.0.0.1.', '10.1', '167772161', '0xa000001', '012.0.0.1', '0xa.0.0.1',
    '[::ffff:10.0.0.1]', '[::10.0.0.1]', '[64:ff9b::10.0.0.1]', '[2002:a00:1::1]', '①⓪.0.0.1',
  ],
  'private 172.16.0.0/12': ['172.31.0.1', '2887712769', '[::ffff:172.16.0.1]'],
  'private 192.168.0.0/16': ['192.168.0.1', '0xc0a80001', '[64:ff9b::c0a8:1]'],
  'private fc00::/7': ['[fd12::1]', '[FC00:0::1]'],
  [LOOPBACK]: [
    '127.0.0.1', '127.0.0.1.', '127.1', '2130706433', '0x7f000001', '017700000001', '127.9.9.9',
    '0.0.0.0', '0', '[::ffff:127.0.0.1]', '[::ffff:0.0.0.0]', '[::127.0.0.1]', '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
  ],
  'loopback ::1/128': ['[::1]', '[::]', '[0:0:0:0:0:0:0:1]'],
  'cgnat 100.64.0.0/10': ['100.64.0.1', '0x64400001'],
  'multicast 224.0.0.0/4': ['224.0.0.1', '[::ffff:224.0.0.1]'],
  'multicast ff00::/8': ['[ff02::1]'],
  'reserved 240.0.0.0/4': ['240.0.0.1', '0xf0000001'],
  'reserved 198.18.0.0/15': ['198.18.0.1'],
  'deny 8.8.0.0/16': ['8.8.8.8', '[::ffff:8.8.8.8]', '134744072'],
  'deny *.denied.test': ['a.denied.test', 'A.B.Denied.Test.', 'ａ.denied.test'],
}

/** Names by their addresses, and the rule that refuses all of these. */
const NAMES = [
  ['private.test', ['10.0.0.1', '10.0.0.2'], PRIVATE],
  ['metadata.test', ['169.254.169.254', '100.100.100.200'], 'metadata'],
  ['loopback.test', ['127.0.0.1'], LOOPBACK],
  ['rebinds.test', ['127.0.0.1'], LOOPBACK],
] as const

interface Stage {
  readonly api: ApiClient
  /** The answers of its name server. */
  readonly names: DnsServer['says']
  /** Lets the configuration be this one. */
  readonly reload: (yaml: string) => Promise<void>
  /** Addresses dialled since the last call, each once. */
  readonly dialled: () => readonly string[]
  /** The rules in the warnings of the log, with their origins. */
  readonly warnings: () => ReadonlyMap<string, string>
}

/** A server on all addresses of the machine, with a name server of the test. */
async function start(t: TestContext): Promise<Stage> {
  const dns = await startDnsServer(t)
  for (const [name, addresses] of NAMES) dns.says.set(name, { addresses })
  const server = await startServer({
    flags: [...UNPACED, '--shards', '1', '--host', '0.0.0.0', '--insecure-no-auth',
      '--grace', '0s',
      '--control', 'control.sock', '--dns-servers', dns.address],
    preload: new URL('../support/dial-guard.ts', import.meta.url).href,
    env: { [PRINT_DIALS]: '1' }, configYaml: '',
  }, t)
  const api = new ApiClient(`http://127.0.0.1:${server.port}`)
  t.after(() => api.close())
  let seen = 0
  return {
    api, names: dns.says,
    reload: async (yaml) => {
      writeFileSync(path.join(server.folder, 'sluice.yaml'), yaml)
      const { code, stderr } = await runCommand('/nowhere',
        ['reload', '--control', path.join(server.folder, 'control.sock')])
      assert.deepEqual([code, stderr], [0, ''], server.stderr)
    },
    dialled: () => {
      const all = [...server.stderr.matchAll(/^dialled (.*)$/gm)].map(([, address]) => `${address}`)
      const since = all.slice(seen)
      seen = all.length
      return [...new Set(since)]
    },
    warnings: () => new Map(server.stderr.split('\n')
      .filter((line) => line.includes('no request may go'))
      .map((line) => JSON.parse(line) as { upstream: string, rule: string })
      .map(({ upstream, rule }) => [upstream, rule])),
  }
}

/** The webhook's state once it is not owed any more. */
async function webhookOf(api: ApiClient, jobId: string): Promise<object | undefined> {
  let { webhook } = await api.finished(jobId)
  while (webhook?.state === 'owed') webhook = (await api.show(jobId)).body.webhook
  return webhook
}

const refusedBy = (rule: string): object => ({ status: 'failed', reason: 'address_refused', rule })

async function dialsNothing({ api, dialled, reload, warnings }: Stage): Promise<void> {
  await reload('egress: {deny: [8.8.0.0/16, "*.denied.test"]}')
  const cases: (readonly [host: string, rule: string])[] = [
    ...Object.entries(REFUSED).flatMap(([rule, hosts]) =>
      hosts.map((host) => [host, rule] as const)),
    ...NAMES.map(([name, , rule]) => [name, rule] as const),
  ]
  assert.ok(cases.length >= 60)
  await Promise.all(cases.map(async ([host, rule]) => {
    const jobId = await api.accept(jobOf(`http://${host}/latest`, {
      max_retries: 5, delivery: undefined, webhook_url: `https://${host}:8080/hook`,
    }))
    const webhook = await webhookOf(api, jobId)
    const { attempts, result } = (await api.show(jobId)).body
    assert.deepEqual([result, attempts, webhook],
      [refusedBy(rule), 0, { state: 'given_up', attempts: 1 }], host)
  }))
  assert.deepEqual(dialled(), [])
  assert.equal(warnings().get('http://169.254.169.254'), 'metadata')
  assert.equal(warnings().get('https://10.0.0.1:8080'), PRIVATE)
}

async function judgesAgain(t: TestContext, stage: Stage): Promise<void> {
  const { api, dialled, names, reload } = stage
  const gate = new Gate()
  const upstream = await upstreamFor(t)
  const busy = await upstreamFor(t, gate.hold((_request, response) => { response.end('slow') }))
  const allowed = 'egress: {allow: [127.0.0.0/8]}'
  await reload(allowed)
  const hook = { delivery: undefined, webhook_url: `${upstream.origin}/hook` }
  for (let times = 0; times < 2; times++) {
    const { result } = await api.run(jobOf(upstream.origin))
    assert.equal(result?.body, 'ok')
  }
  const inFlight = await api.accept(jobOf(busy.origin))
  await busy.waitFor(1)
  assert.equal(upstream.connections.opened, 1, 'it was kept')
  dialled()

  await reload('egress: {allow: [127.0.0.0/8], deny: [127.0.0.1]}')
  await upstream.connections.waitForOpen(0)
  for (const { origin } of [upstream, busy]) {
    const jobId = await api.accept(jobOf(origin, hook))
    assert.deepEqual(await webhookOf(api, jobId), { state: 'given_up', attempts: 1 })
    assert.deepEqual((await api.show(jobId)).body.result, refusedBy('deny 127.0.0.1'))
  }
  assert.equal(upstream.requests.length, 2)
  gate.open()
  assert.equal((await api.finished(inFlight)).result?.body, 'slow', 'in flight at the reload')
  await busy.connections.waitForOpen(0)
  assert.deepEqual(dialled(), [])

  await reload(allowed)
  const named = upstream.origin.replace('127.0.0.1', 'rebinds.test')
  const again = { ...hook, webhook_url: `${named}/hook` }
  for (const origin of [upstream.origin, named]) {
    const jobId = await api.accept(jobOf(origin, again))
    assert.deepEqual(await webhookOf(api, jobId),
      { state: 'delivered', attempts: 1, last_status: 200 })
  }
  assert.deepEqual(dialled(), ['127.0.0.1'])

  names.set('rebinds.test', { addresses: ['10.0.0.1'] })
  await reload(allowed)
  const jobId = await api.accept(jobOf(named, again))
  assert.deepEqual(await webhookOf(api, jobId), { state: 'given_up', attempts: 1 })
  assert.deepEqual((await api.show(jobId)).body.result, refusedBy(PRIVATE))
  assert.deepEqual(dialled(), [])
}

async function keepsToTables(t: TestContext, { api, dialled, reload }: Stage): Promise<void> {
  const gate = new Gate()
  const respond = gate.hold((_request, response) => { response.end('ok') })
  const [upstream, other] = [await upstreamFor(t), await upstreamFor(t, respond)]
  const [listed, dropped] = [upstream, other].map(({ origin }) => new URL(origin).host)
  await reload(`upstreams: {"${listed}": {}, "${dropped}": {max_concurrent: 1}}`)
  const first = await api.accept(jobOf(other.origin))
  await other.waitFor(1)
  const queued = await api.accept(jobOf(other.origin))
  dialled()

  await reload(`upstreams_only: true
upstreams: {"${listed}": {}}
webhooks: {receivers: {"${listed}": {}}}
egress: {allow: [127.0.0.0/8]}`)
  gate.open()
  assert.equal((await api.finished(first)).result?.body, 'ok', 'in flight at the reload')
  assert.deepEqual((await api.finished(queued)).result, refusedBy('upstreams_only'))
  const hook = (origin: string) => ({ delivery: undefined, webhook_url: `${origin}/hook` })
  for (const [job, field] of [
    [jobOf(other.origin), 'url'], [jobOf(other.origin, hook(upstream.origin)), 'url'],
    [jobOf('https://other.test/'), 'url'], [jobOf('http://169.254.169.254/'), 'url'],
    [jobOf(upstream.origin, hook(other.origin)), 'webhook_url'],
  ] as const) {
    const { body, status } = await api.post(job)
    assert.deepEqual([status, body.code, body.field], [403, 'upstream_not_listed', field])
  }
  await api.accept(jobOf(upstream.origin, hook(upstream.origin)))
  const batch = await api.send('POST', '/jobs/batch', {
    headers: { 'content-type': 'application/x-ndjson' },
    body: [jobOf(upstream.origin), jobOf(other.origin)]
      .map((job, ref) => JSON.stringify({ ...job, ref })).join('\n'),
  })
  assert.match(batch.bytes.toString(), /"upstream_not_listed".*"field":"url"/)
  await upstream.waitFor(3) // two jobs and a webhook
  assert.equal(other.requests.length, 1)
  assert.deepEqual(dialled(), ['127.0.0.1'])
}

test('a server that listens beyond loopback', async (t) => {
  const stage = await start(t)
  await t.test('refuses jobs and webhooks by the rule, in every notation, and dials nothing',
    () => dialsNothing(stage))
  await t.test('judges connections that are open again at a reload',
    (each) => judgesAgain(each, stage))
  await t.test('sends with upstreams_only to hosts in the tables alone, also what was queued',
    (each) => keepsToTables(each, stage))
})
