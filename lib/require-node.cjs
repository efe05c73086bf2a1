// Preloaded (`node --require`), since an older Node can't read the TypeScript that would say so.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(`This needs Node 22.18 or newer, and is run by Node ${process.versions.node}.\n`)
  process.exit(1)
}
