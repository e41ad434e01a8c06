// Records each address that a socket of this process dials, where Node passes it to the system, and
// refuses those that are not on the loopback without dialling them. A test imports it, or preloads
// it into a server, whose standard error then has a line for each.

import { writeSync } from 'node:fs'

type Connect = (request: object, address: string, ...rest: unknown[]) => number

/** The used part of Node's own binding, which is undocumented. */
interface Binding {
  readonly TCP: { readonly prototype: { connect: Connect; connect6: Connect } }
}

/** What the system answers for an address at which nobody listens. */
const ECONNREFUSED = -111
const LOOPBACK = /^(127\.|::1$|::ffff:(127\.|7f))/

/** The variable by which a server prints them. */
export const PRINT_DIALS = 'TEST_PRINT_DIALS'

/** What was dialled, in order. */
export const dialled: string[] = []

const { TCP: { prototype } } =
  (process as unknown as { binding(name: string): Binding }).binding('tcp_wrap')
for (const name of ['connect', 'connect6'] as const) {
  const connect = prototype[name]
  prototype[name] = function guarded(request, address, ...rest) {
    dialled.push(address)
    if (process.env[PRINT_DIALS] !== undefined) writeSync(2, `dialled ${address}\n`)
    return LOOPBACK.test(address) ? connect.call(this, request, address, ...rest) : ECONNREFUSED
  }
}
