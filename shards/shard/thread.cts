// The entry of a shard's thread: imports the file that it is to run.
// Thread: shard. Memory: none.
// Never: runs anything of that file; the pool does, once it is loaded.
// Why CommonJS: the pool tries require() first. An ES module that is loaded by require() goes
// through a facade, and if the thread is ended at that moment, an assertion of Node aborts the
// whole process. With import() from here, a thread may be ended at any time.

const { workerData } = require('node:worker_threads') as { readonly workerData: { file: string } }

module.exports = (import(workerData.file) as Promise<{ readonly default: unknown }>)
  .then((loaded) => loaded.default)
