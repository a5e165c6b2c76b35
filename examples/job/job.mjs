// Starts jobs with the Gemini API and fetches their results, like main.go, with the same
// arguments and environment.
import {GoogleGenAI} from '@google/genai';
import {PubSub} from '@google-cloud/pubsub';

const ai = new GoogleGenAI({apiKey: process.env.GEMINI_API_KEY});

async function startBatch() {
  const batch = await ai.batches.create({
    model: 'gemini-3.5-flash-lite',
    src: [{contents: [{role: 'user', parts: [{text: 'Hello.'}]}]}],
  });
  console.log(batch.name);
}

async function printResults(name) {
  const batch = await ai.batches.get({name});
  if (batch.state !== 'JOB_STATE_SUCCEEDED') throw new Error(`${name}: state is ${batch.state}`);
  for (const {response, error} of batch.dest.inlinedResponses) {
    if (!response) throw new Error(`${name}: a request failed: ${JSON.stringify(error)}`);
    console.log(response.candidates[0].content.parts[0].text);
  }
}

async function startVideo() {
  const messages = new PubSub({projectId: process.env.GOOGLE_CLOUD_PROJECT});
  const operation = await ai.models.generateVideos({
    model: 'veo-3.1-generate-preview',
    source: {prompt: 'Waves.'},
  });
  console.log(operation.name);
  await messages.topic('geminihook-jobs').publishMessage({data: Buffer.from(operation.name)});
  await messages.close();
}

const [command, name] = process.argv.slice(2);
switch (command) {
  case 'batch': await startBatch(); break;
  case 'results': await printResults(name); break;
  case 'video': await startVideo(); break;
  default: throw new Error('usage: job batch | results NAME | video');
}
