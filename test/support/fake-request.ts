// A request of the HTTP library with headers that a test names.

import type { HttpRequest } from '../../src/http/uws.ts'

/** @param headers names in lower case, in the order in which they arrived. */
export const fakeRequest = (
  headers: ReadonlyArray<readonly [name: string, value: string]>,
): HttpRequest => ({
  getHeader: (wanted) => headers.find(([name]) => name === wanted)?.[1] ?? '',
  getParameter: () => undefined,
  getUrl: () => '/jobs',
  getQuery: () => '',
  getMethod: () => 'post',
  forEach: (tell) => { for (const [name, value] of headers) tell(name, value) },
  setYield: () => {},
})
