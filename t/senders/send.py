# Sends by the official SDKs, as their users do, and prints a line for each answer.
#
#   send.py PACKAGES cloudevents URL      `mode id status`: each event in binary and in structured mode
#   send.py PACKAGES read < RECORDS       what the CloudEvents SDK makes of records of Kafka, a line of JSON each
#   send.py PACKAGES segment URL          an event of Segment's SDK, without and with gzip, to URL/v1/batch
#   send.py PACKAGES otlp URL             a span of OpenTelemetry's exporter, protobuf without and with gzip
#
# The last two print `what compression sum`: the MD5 sum, before compression, of the body that was answered with success.
import base64
import gzip
import hashlib
import json
import sys
import urllib.error
import urllib.request

sys.path.insert(0, sys.argv[1])


def cloudevents(url):
    from cloudevents.core.bindings.http import to_binary_event, to_structured_event
    from cloudevents.core.v1.event import CloudEvent

    events = {
        "json": ({"datacontenttype": "application/json", "comexampleextension": "5 \u20ac"}, {"a": [1, "\u00e9"]}),
        "text": ({"datacontenttype": "text/plain", "subject": "a subject"}, "a text"),
        "bytes": ({"datacontenttype": "application/octet-stream", "partitionkey": "p1"}, b"\x00\xff\x01"),
        "nothing": ({}, None),
    }
    for name, (attributes, data) in events.items():
        for mode, make in (("binary", to_binary_event), ("structured", to_structured_event)):
            event_id = f"py-{mode}-{name}"
            message = make(CloudEvent({"id": event_id, "source": "/python", "type": "com.example.test", **attributes}, data))
            request = urllib.request.Request(url, message.body or b"", message.headers, method="POST")
            try:
                status = urllib.request.urlopen(request, timeout=30).status
            except urllib.error.HTTPError as error:
                status = f"{error.code} {error.read()}"
            print(mode, event_id, status)


def read(_):
    from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event

    for line in sys.stdin:
        record = json.loads(line)
        headers = {name: base64.b64decode(value) for name, value in record["headers"].items()}
        event = from_kafka_event(KafkaMessage(headers, record["key"], base64.b64decode(record["value"])))
        data = event.get_data()
        if isinstance(data, bytes):
            data = {"base64": base64.b64encode(data).decode()}
        attributes = {name: str(value) for name, value in event.get_attributes().items()}
        print(json.dumps([attributes, data]))


def sums(session):
    """The sums of the bodies that this session of `requests` sends and that are taken."""
    taken = []

    def note(answer, **_):
        body = answer.request.body
        body = body if isinstance(body, bytes) else body.encode()
        if answer.request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        taken.append(hashlib.md5(body).hexdigest() if answer.status_code < 300 else answer.status_code)

    session.hooks["response"].append(note)
    return taken


def segment(url):
    from segment.analytics import request
    from segment.analytics.client import Client

    taken = sums(request._session)
    for packed in (False, True):
        client = Client("a-key", host=url, gzip=packed, sync_mode=True, max_retries=0)
        client.track("user-1", "Bought \u20ac", {"price": 1.5}, message_id=f"segment-{packed}")
        print("segment", "gzip" if packed else "none", taken.pop())


def otlp(url):
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from requests import Session

    session = Session()
    taken = sums(session)
    for compression in (Compression.NoCompression, Compression.Gzip):
        exporter = OTLPSpanExporter(url, compression=compression, timeout=30, session=session)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("test").start_as_current_span(f"span \u20ac {compression.value}"):
            pass
        print("otlp", compression.value, taken.pop())


{"cloudevents": cloudevents, "read": read, "segment": segment, "otlp": otlp}[sys.argv[2]](sys.argv[3] if len(sys.argv) > 3 else None)
