"""Starts jobs with the Gemini API and fetches their results, like main.go, with the same
arguments and environment. No test runs it."""

import os
import sys

from google import genai
from google.cloud import pubsub_v1

client = genai.Client()


def start_batch():
    batch = client.batches.create(
        model="gemini-3.5-flash-lite",
        src=[{"contents": [{"role": "user", "parts": [{"text": "Hello."}]}]}],
    )
    print(batch.name)


def print_results(name):
    batch = client.batches.get(name=name)
    if batch.state.name != "JOB_STATE_SUCCEEDED":
        raise SystemExit(f"{name}: state is {batch.state.name}")
    for result in batch.dest.inlined_responses:
        if result.response is None:
            raise SystemExit(f"{name}: a request failed: {result.error}")
        print(result.response.text)


def start_video():
    publisher = pubsub_v1.PublisherClient()
    operation = client.models.generate_videos(
        model="veo-3.1-generate-preview",
        source=genai.types.GenerateVideosSource(prompt="Waves."),
    )
    print(operation.name)
    topic = publisher.topic_path(os.environ["GOOGLE_CLOUD_PROJECT"], "geminihook-jobs")
    publisher.publish(topic, operation.name.encode()).result()


match sys.argv[1:]:
    case ["batch"]:
        start_batch()
    case ["results", name]:
        print_results(name)
    case ["video"]:
        start_video()
    case _:
        raise SystemExit("usage: job batch | results NAME | video")
