// Opens a file with speedscope's own importer, outside a browser:  node speedscope_import.mjs PACKAGE_FOLDER FILE
//
// The package ships one script for the page, with the importer inside. The script is run with an inert page around it, after a line
// was added that hands the importer out. Prints what was imported as JSON.

import {readFileSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import vm from 'node:vm'

const [folder, file] = process.argv.slice(2)
const release = join(folder, 'dist', 'release')
const name = readdirSync(release).find((entry) => /^speedscope-.*\.js$/.test(entry))
const script = readFileSync(join(release, name), 'utf8')

const importer = /"Importing as speedscope json file"\),([\w$]+)\(/.exec(script)?.[1]
if (!importer) throw new Error('this version of speedscope hides its importer elsewhere')
const start = script.indexOf('{') + 1
const opened = `${script.slice(0, start)};globalThis.importSpeedscope=(file)=>${importer}(file);${script.slice(start)}`

const page = new Proxy(function () {}, {
  get: (_, key) => (key === Symbol.toPrimitive ? () => '' : key === Symbol.iterator ? [][Symbol.iterator].bind([]) : page),
  set: () => true,
  apply: () => page,
  construct: () => page,
})
const world = {
  document: page, window: page, self: page, navigator: page, location: page, localStorage: page, history: page, devicePixelRatio: 1,
  HTMLElement: function () {}, requestAnimationFrame: () => 0, setTimeout: () => 0, clearTimeout: () => {}, console: {log() {}, warn() {}, error() {}},
  TextDecoder, TextEncoder, URL, performance,
}
world.globalThis = world
try {
  vm.runInNewContext(opened, world)
} catch (error) {
  if (!world.importSpeedscope) throw error
}
const group = world.importSpeedscope(JSON.parse(readFileSync(file, 'utf8')))
const profiles = group.profiles.map((profile) => {
  const frames = new Set()
  profile.forEachFrame((frame) => frames.add(frame.name))
  return {name: profile.getName(), unit: profile.getWeightUnit(), total: profile.getTotalWeight(), frames: [...frames]}
})
process.stdout.write(JSON.stringify({name: group.name, profiles}))
