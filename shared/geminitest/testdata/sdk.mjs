// Uses each kind of job through @google/genai, against the API at the URL in the first
// argument, and prints what came back.
import {readFile} from 'node:fs/promises';
import {GoogleGenAI} from '@google/genai';

const ai = new GoogleGenAI({apiKey: 'key', httpOptions: {baseUrl: process.argv[2]}});
const ended = () => new Promise((resolve) => setTimeout(resolve, 1000));

const model = 'gemini-3.5-flash-lite';
let batch = await ai.batches.create({model, src: [{contents: [{role: 'user', parts: [{text: 'one'}]}]}]});
await ended();
batch = await ai.batches.get({name: batch.name});
console.log('batch', batch.state, batch.dest.inlinedResponses[0].response.candidates[0].content.parts[0].text);
let listed = 0;
for await (const job of await ai.batches.list()) listed += job.name === batch.name ? 1 : 0;
console.log('listed', listed);

batch = await ai.batches.create({model, src: 'files/requests'});
await ended();
batch = await ai.batches.get({name: batch.name});
await ai.files.download({file: batch.dest.fileName, downloadPath: 'results.jsonl'});
const line = JSON.parse((await readFile('results.jsonl', 'utf8')).split('\n')[0]);
console.log('file', line.response.candidates[0].content.parts[0].text);

let interaction = await ai.interactions.create({model: 'gemini-3.5-flash', input: 'Research this.', background: true});
await ended();
interaction = await ai.interactions.get(interaction.id);
console.log('interaction', interaction.status, interaction.steps[0].content[0].text);

let operation = await ai.models.generateVideos({model: 'veo-3.1-generate-preview', source: {prompt: 'Waves.'}});
await ended();
operation = await ai.operations.getVideosOperation({operation});
console.log('video', operation.done);
await ai.files.download({file: operation.response.generatedVideos[0], downloadPath: 'video.mp4'});
console.log('mp4', (await readFile('video.mp4', 'latin1')).includes('ftypmp42'));

try {
  await ai.batches.get({name: 'batches/none'});
} catch (err) {
  console.log('missing', err.status);
}
