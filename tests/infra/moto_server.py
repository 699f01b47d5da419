"""moto_server, with the one answer that the AWS provider cannot do without and moto 5.2.1 does not have.

Application Auto Scaling: ListTagsForResource. The provider asks for the tags of every target and fails without them;
this says that there are none. Everything else is moto's own.
"""

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.server import main

if not hasattr(ApplicationAutoScalingResponse, "list_tags_for_resource"):
    ApplicationAutoScalingResponse.list_tags_for_resource = lambda self: '{"Tags": {}}'

if __name__ == "__main__":
    main()
