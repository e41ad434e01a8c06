// Switches the costly assertions on. It must be imported before anything that reads assert.ts:
// modules are run in the order of their imports, so whoever imports this does so in its first line.

process.env['SLUICE_VERIFY'] = '1'
