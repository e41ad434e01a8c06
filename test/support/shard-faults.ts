// Faults in the shard threads of a real server, for crash tests. Loaded before anything else
// (`node --import`), in every thread: the requests that a shard sends, and the jobs that it takes,
// then specify the fault themselves.
//
//   path of the job's URL: /crash/<when>/<how>    user_id: poison-<how>
//   when: once (at the first attempt), always     how: throw, exit, hang

import { isMainThread } from 'node:worker_threads'
import { JobRecords } from '../../shards/store/job-records.ts'
import { UndiciTransport } from '../../shards/transport/undici-transport.ts'

const ENDINGS: Readonly<Record<string, () => void>> = {
  throw: () => { throw new Error('a scripted fault') },
  exit: () => process.exit(3),
  hang: () => { for (;;); },
}

if (!isMainThread) {
  const { send } = UndiciTransport.prototype
  UndiciTransport.prototype.send = function (attemptId, to, request): void {
    const fault = /^\/crash\/(once|always)\/(\w+)/.exec(request.path)
    const attempt = request.headers[request.headers.indexOf('X-Sluice-Attempt') + 1]
    if (fault?.[1] === 'always' || attempt === '1') ENDINGS[fault?.[2] ?? '']?.()
    send.call(this, attemptId, to, request)
  }
  const { storeJob } = JobRecords.prototype
  JobRecords.prototype.storeJob = function (slot, source, start, bodyStart, end, hash): boolean {
    const fault = /poison-(\w+)/.exec(source.bytes.toString('latin1', start, bodyStart))
    ENDINGS[fault?.[1] ?? '']?.()
    return storeJob.call(this, slot, source, start, bodyStart, end, hash)
  }
}
