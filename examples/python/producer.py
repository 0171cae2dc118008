"""Publishes jobs for a pulpo worker from Python.

A job is a JSON object in a tube of a beanstalkd: in its header the name of
the job, in its body what the handler takes. Nothing else is needed.

    pip install greenstalk
    python examples/python/producer.py 127.0.0.1:11300
    PULPO_QUEUE=beanstalkd://127.0.0.1:11300 cargo run -p pulpo-examples --bin python_producer
"""

import json
import sys

import greenstalk


def publish(queue, request_type, body, delay=0, priority=65536, **header):
    """Puts one job; its id is the return value."""
    message = {"header": {"request_type": request_type, **header}, "body": body}
    # A failed job is tried again by the worker, so the server's own ttr only
    # matters when a worker dies: pulpo's default is a minute.
    return queue.put(json.dumps(message), priority=priority, delay=delay, ttr=60)


def main():
    host, port = (sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:11300").rsplit(":", 1)
    # The tube is the name of the queue; `pulpo` is the default one.
    with greenstalk.Client((host, int(port)), use="pulpo") as queue:
        publish(queue, "send_email", {"to": "ada@example.com", "subject": "Grüße aus 🐍"}, priority=0)
        publish(queue, "send_email", {"to": 5})  # does not fit, and is buried with the reason in the worker's log
        publish(queue, "echo", {"payload": "a text alone"}, trace="abc")
        publish(queue, "echo", {"payload": "a second later"}, delay=1)
    print("published 4 jobs")


if __name__ == "__main__":
    main()
