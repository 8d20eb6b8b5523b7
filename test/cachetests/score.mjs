// Scores a result of the suite in the working directory by the suite's own rules: node score.mjs RESULT
import fs from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const load = name => import(pathToFileURL(path.resolve(name)))
const { default: suites } = await load('tests/index.mjs')
const { determineTestResult, resultTypes } = await load('test-engine/lib/results.mjs')
const results = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))

const tests = suites.flatMap(s => s.tests).filter(t => results[t.id] !== undefined).map(t => {
  const verdict = determineTestResult(suites, t.id, results)
  return {
    id: t.id,
    kind: t.kind ?? 'required',
    verdict: Object.keys(resultTypes).find(name => resultTypes[name] === verdict),
    message: results[t.id] === true ? '' : results[t.id][1]
  }
})
console.log(JSON.stringify(tests))
