// A real server on a data folder, for tests that start several servers on the same folder.

import { ApiClient } from './api-client.ts'
import { type Cleanup, type TestServer, startServer } from './server.ts'

/** A server and its client. */
export interface Run {
  readonly server: TestServer
  readonly api: ApiClient
}

/** Starts a server with a journal; it is killed after the test if it is still running. */
export async function start(t: Cleanup, data: string, flags: readonly string[] = []): Promise<Run> {
  const server = await startServer({
    flags: ['--journal', 'interval', '--data', data, '--shards', '2', '--grace', '0s', ...flags],
  }, t)
  const api = new ApiClient(server.url)
  t.after(() => api.close())
  return { server, api }
}
