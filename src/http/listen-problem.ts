// Why an address cannot be listened on. The library reports only that it failed, so the attempt is
// repeated with node:net for the system's error code.

import { createServer } from 'node:net'
import { type Listener, type ListenerKind, showPlace } from '../config/listeners.ts'

/** The settings that name the host and the port of a listener. */
const SETTINGS_OF: Readonly<Record<ListenerKind, Readonly<Record<'host' | 'port', string>>>> = {
  callers: { host: '--host', port: '--port' },
  operators: { host: '--operate-listen', port: '--operate-listen, or none with off' },
}

/** A sentence for the operator, with advice where there is any. */
export async function listenProblem(listener: Listener): Promise<string> {
  const { host, kind } = listener
  const code = await reasonOf(listener)
  const whom = kind === 'operators' ? ' for operators' : ''
  const where = `cannot listen on ${showPlace(listener)}${whom}`
  const name = SETTINGS_OF[kind]
  switch (code) {
    case undefined: return `${where}: it was taken a moment ago, and is free by now`
    case 'EADDRINUSE': return `${where}: the port is taken; name another with ${name.port}`
    case 'EACCES': case 'EPERM':
      return `${where}: this user may not have the port; name one from 1024 on with ${name.port}`
    case 'EADDRNOTAVAIL':
      return `${where}: the address is none of this machine's; name one with ${name.host}`
    case 'EAFNOSUPPORT': return `${where}: this machine has no such addresses (${code})`
    case 'ENOTFOUND': case 'EAI_AGAIN': case 'EAI_NONAME': case 'EAI_FAIL':
      return `${where}: the name ${host} has no address (${code}); name another with ${name.host}`
    default: return `${where} (${code})`
  }
}

/** The system's error code; undefined when listening succeeds after all. */
function reasonOf({ host, port }: Listener): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'unknown'))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}
