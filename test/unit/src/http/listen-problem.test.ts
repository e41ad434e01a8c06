// What is said of an address that cannot be listened on.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { it } from 'node:test'
import { listenProblem } from '../../../../src/http/listen-problem.ts'

const problemOf = (host: string, port: number): Promise<string> =>
  listenProblem({ kind: 'callers', host, port })

it('says that the port is taken', async (t) => {
  const other = createServer().listen(0, '127.0.0.1')
  t.after(() => other.close())
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  assert.equal(await listenProblem({ kind: 'callers', host: '127.0.0.1', port }),
    `cannot listen on 127.0.0.1:${port}: the port is taken; name another with --port`)
  assert.equal(await listenProblem({ kind: 'operators', host: '127.0.0.1', port }),
    `cannot listen on 127.0.0.1:${port} for operators: the port is taken; name another with ` +
    '--operate-listen, or none with off')
})

it('says that the address is not of this machine, or that a name has none', async () => {
  assert.match(await problemOf('203.0.113.9', 0), /none of this machine's/)
  assert.match(await problemOf('nosuch.invalid', 0),
    /the name nosuch\.invalid has no address \(E/)
})

it('says that the user may not have the port', async (t) => {
  if (process.getuid?.() === 0) {
    // Root may have any; another user's right is given up for the time of the question.
    process.seteuid?.(65_534)
    t.after(() => process.seteuid?.(0))
  }
  const said = await problemOf('127.0.0.1', 81)
  if (/free by now/.test(said)) return t.skip('every user of this machine may have every port')
  assert.match(said, /this user may not have the port; name one from 1024 on with --port$/)
})
