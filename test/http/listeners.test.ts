// The callers' listener and the operators': which routes each has, what it answers, and when a
// server does not start for the sake of one.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { byKind, type Listener, type ListenerKind } from '../../src/config/listeners.ts'
import { ROUTES, type RouteName } from '../../src/http/route-table.ts'
import { type Handlers, HttpServer, type RequestHandlers } from '../../src/http/server.ts'
import type { HttpResponse } from '../../src/http/uws.ts'
import { freePort, SluiceProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const LOCAL: readonly Listener[] = [
  { kind: 'callers', host: '127.0.0.1', port: 0 }, { kind: 'operators', host: '::1', port: 0 },
]
const BOUNDS = {
  bodyBytesMax: 1024, idleMs: 60_000, clientBytesMax: 1024, connectionsMax: 10,
}
const SERVE = ['serve', '--memory', '64MiB', '--shards', '1', '--journal', 'off']

/** Answers with the listener's kind and the route's name. */
const naming: Handlers = byKind((kind) => {
  const name = (route: RouteName) => (response: HttpResponse): void => {
    response.end(`${kind} ${route}`)
  }
  const names = Object.fromEntries(ROUTES.map((route) => [route.name, name(route.name)]))
  return {
    ...names as unknown as RequestHandlers,
    upgrade: (response) => {
      name('upgrade')(response)
      return true
    },
  }
})

const urlOf = ({ host, port }: Listener): string =>
  `http://${host.includes(':') ? `[${host}]` : host}:${port}`

/** The operators' address that a server reports. */
async function operatorsOf(server: SluiceProcess): Promise<string> {
  return (await server.waitFor('stdout', /^operators +(http:\S+)$/m))?.[1] ?? ''
}

async function get(url: string, where: string): Promise<{ status: number, body: object }> {
  const response = await fetch(url + where)
  return { status: response.status, body: await response.json() as object }
}

/** Listens at a port until the test is over. */
async function occupy(t: TestContext): Promise<number> {
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  return (other.address() as AddressInfo).port
}

describe('a listener', () => {
  it('has the routes of its kind, each with its own handler', async (t) => {
    const server = await HttpServer.listen(LOCAL, { handlers: naming }, BOUNDS)
    t.after(() => server.close())
    const urls = Object.fromEntries(server.listeners.map((each) => [each.kind, urlOf(each)])) as
      Record<ListenerKind, string>
    for (const { listeners, methods, name, path: pattern } of ROUTES) {
      for (const kind of ['callers', 'operators'] as const) {
        const isThere = (listeners as readonly ListenerKind[]).includes(kind)
        for (const method of methods.length === 0 ? ['PATCH'] : methods) {
          const socket = { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }
          const response = await fetch(urls[kind] + pattern.replace(':id', 'x').replace('*', ''), {
            method, ...name === 'upgrade' && { headers: socket },
          })
          const expected = `${kind} ${isThere ? name : 'other'}`
          // fetch() sends no Upgrade header, so that route is left to the other tests.
          if (name === 'upgrade' && isThere) continue
          const text = await response.text()
          assert.equal(text, method === 'HEAD' ? '' : expected, `${method} ${pattern}`)
        }
      }
    }
    assert.equal(server.table.openMax, BOUNDS.connectionsMax)
  })

  it('of operators is reached though callers have all connections', async (t) => {
    const server = await HttpServer.listen(LOCAL, { handlers: naming }, BOUNDS)
    t.after(() => server.close())
    const [callers, operators] = server.listeners as [Listener, Listener]
    for (let opened = 0; opened < BOUNDS.connectionsMax; opened++) {
      const client = connect(callers.port, callers.host)
      t.after(() => client.destroy())
      client.write('GET /ready HTTP/1.1\r\nHost: s\r\n\r\n')
      await once(client, 'data')
    }
    await assert.rejects(fetch(`${urlOf(callers)}/ready`))
    assert.equal(await (await fetch(`${urlOf(operators)}/ready`)).text(), 'operators ready')
    assert.equal(server.table.refused, 1)
  })

  it('stops and listens again with all others', async (t) => {
    const server = await HttpServer.listen(LOCAL, { handlers: naming }, BOUNDS)
    t.after(() => server.close())
    const urls = server.listeners.map(urlOf)
    const answers = (): Promise<(string | false)[]> => Promise.all(urls.map((url) =>
      fetch(`${url}/ready`, { headers: { connection: 'close' } })
        .then((response) => response.text(), () => false as const)))
    const both = ['callers ready', 'operators ready']
    assert.deepEqual(await answers(), both)
    await new Promise<void>((resolve) => { server.stopListening(resolve) })
    assert.deepEqual(await answers(), [false, false])
    assert.equal(server.listenAgain(), true)
    assert.deepEqual(await answers(), both)
  })

  it('of operators answers /health in full, and has no jobs', async (t) => {
    const server = await startServer({ flags: ['--operate-listen', '[::1]:0'] }, t)
    const operators = await operatorsOf(server)
    assert.match(operators, /^http:\/\/\[::1\]:\d+$/)
    const { body } = await get(operators, '/health')
    assert.deepEqual(Object.keys(body).slice(0, 2), ['status', 'version'])
    assert.deepEqual(await get(operators, '/ready'), { status: 200, body: { status: 'ready' } })
    for (const where of ['/jobs', '/jobs/x', '/ws', '/']) {
      assert.equal((await get(operators, where)).status, 404, where)
    }
    const wrong = await fetch(`${operators}/health`, { method: 'POST', body: '{}' })
    assert.deepEqual([wrong.status, wrong.headers.get('allow')], [405, 'GET, HEAD'])
    const head = await fetch(`${operators}/health`, { method: 'HEAD' })
    assert.deepEqual([head.status, await head.text()], [200, ''])
    const callers = await get(server.url, '/health')
    assert.ok('version' in callers.body, 'a caller on the machine itself gets the same')
    assert.equal(await server.stop(), 0)
  })

  it('of callers beyond the loopback answers /health with its status alone', async (t) => {
    const server = await startServer(
      { flags: ['--host', '0.0.0.0', '--operate-listen', '127.0.0.1:0'] }, t)
    const url = `http://127.0.0.1:${server.port}`
    assert.deepEqual(await get(url, '/health'), { status: 200, body: { status: 'ok' } })
    const { body } = await get(await operatorsOf(server), '/health')
    assert.ok('version' in body && 'shards' in body)
    assert.equal(await server.stop(), 0)
  })
})

describe('a server', () => {
  it('says that a port is taken, and with which setting to name another', async (t) => {
    const taken = await occupy(t)
    const refusal = async (...flags: string[]): Promise<string> => {
      const server = new SluiceProcess([...SERVE, ...flags])
      t.after(() => server.kill())
      assert.equal((await server.ended()).code, 1)
      return server.stderr
    }
    const operators = new RegExp(`cannot listen on 127.0.0.1:${taken} for operators: the port is ` +
      'taken; name another with --operate-listen, or none with off')
    assert.match(await refusal('--port', String(taken - 1), '--operate-listen', 'auto'), operators)
    assert.match(await refusal('--port', '0', '--operate-listen', `127.0.0.1:${taken}`), operators)
    assert.match(await refusal('--port', String(taken)), /the port is taken.* with --port$/m)
  })

  it('keeps to its listeners at a reload, and says so', async (t) => {
    const folder = temporaryFolder(t)
    const port = await freePort()
    const server = await startServer({
      flags: ['--port', String(port), '--journal', 'interval', '--data', folder],
      env: { SLUICE_OPERATE_LISTEN: '' }, configYaml: 'operate_listen: 127.0.0.1:0\n',
    }, t)
    const operators = await operatorsOf(server)
    assert.equal((await get(operators, '/ready')).status, 200)
    server.signal('SIGHUP')
    assert.ok(await server.waitFor('stderr', /reloaded code and configuration/))
    const { body } = await get(operators, '/health')
    assert.deepEqual((body as { reloads: number }).reloads, 1)
    writeFileSync(path.join(server.folder, 'sluice.yaml'), 'operate_listen: off\n')
    server.signal('SIGHUP')
    assert.ok(await server.waitFor('stderr',
      /operate_listen \(.*\): got off, expected 127.0.0.1:0 as at the start/))
    assert.equal((await get(operators, '/ready')).status, 200)
    assert.equal(await server.stop(), 0)
  })
})
