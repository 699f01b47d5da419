"""A queue of an SQS server as an outsider uses it: sends, takes, throws away. Plain calls of the JSON protocol."""

import http.client
import json


class Queue:
    def __init__(self, server, name="jobs"):
        self.server, self.name = server, name

    @property
    def settings(self):
        """Of a gateway that uses it."""
        return {
            "QUEUE_URL": self.name,
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_SQS": self.server.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }

    def call(self, operation, **members):
        """None when the server is away, or has no such queue."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        try:
            url = {} if operation == "GetQueueUrl" else self.url
            if url is None:
                return None
            connection.request(
                "POST",
                "/",
                json.dumps({**url, **members}),
                {
                    "Content-Type": "application/x-amz-json-1.0",
                    "X-Amz-Target": f"AmazonSQS.{operation}",
                    "Authorization": "AWS4-HMAC-SHA256 Credential=key/20270101/eu-west-1/sqs/aws4_request",
                },
            )
            answer = connection.getresponse()
            text = answer.read()
            return json.loads(text or b"{}") if answer.status == 200 else None
        except OSError:
            return None
        except http.client.HTTPException:
            return None
        finally:
            connection.close()

    @property
    def url(self):
        found = self.call("GetQueueUrl", QueueName=self.name)
        return {"QueueUrl": found["QueueUrl"]} if found else None

    def send(self, body):
        return self.call("SendMessage", MessageBody=body) is not None

    def take(self, count=10, wait=0):
        """Bodies of messages that nobody else will see any more."""
        got = self.call("ReceiveMessage", MaxNumberOfMessages=count, WaitTimeSeconds=wait) or {}
        return [
            message["Body"]
            for message in got.get("Messages", [])
            if self.call("DeleteMessage", ReceiptHandle=message["ReceiptHandle"]) is not None
        ]

    def purge(self):
        return self.call("PurgeQueue") is not None
