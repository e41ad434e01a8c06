// The load generator's process: runs one load after another, each over connections of its own.

import { LoadClient } from '../load-client.ts'
import { SocketLoad } from '../socket-load.ts'
import type { GeneratorCommands } from './messages.ts'
import { cpuTime, serveRole } from './role-loop.ts'

serveRole<GeneratorCommands>({
  run: async (plan, progress) => {
    const before = cpuTime().cpuUs
    const load = plan.batch === undefined
      ? new LoadClient(plan) : new SocketLoad(plan, plan.batch)
    const result = await load.run(progress)
    return { ...result, cpuUs: cpuTime().cpuUs - before }
  },
})
