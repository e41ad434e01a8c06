// Why an address cannot be listened on. The library reports only that it failed, so the attempt is
// repeated with node:net for the system's error code.

import { createServer } from 'node:net'

/** A sentence for the operator, with advice where there is any. */
export async function listenProblem(host: string, port: number): Promise<string> {
  const code = await reasonOf(host, port)
  const where = `cannot listen on ${host}:${port}`
  switch (code) {
    case undefined: return `${where}: it was taken a moment ago, and is free by now`
    case 'EADDRINUSE': return `${where}: the port is taken; name another with --port`
    case 'EACCES': case 'EPERM':
      return `${where}: this user may not have the port; name one from 1024 on with --port`
    case 'EADDRNOTAVAIL':
      return `${where}: the address is none of this machine's; name one with --host`
    case 'EAFNOSUPPORT': return `${where}: this machine has no such addresses (${code})`
    case 'ENOTFOUND': case 'EAI_AGAIN': case 'EAI_NONAME': case 'EAI_FAIL':
      return `${where}: the name ${host} has no address (${code}); name another with --host`
    default: return `${where} (${code})`
  }
}

/** The system's error code; undefined when listening succeeds after all. */
function reasonOf(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code ?? 'unknown'))
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)))
  })
}
