"""moto_server, with two answers that moto 5.2.1 does not have. Everything else is moto's own.

Application Auto Scaling: ListTagsForResource. The provider asks for the tags of every target and fails without them;
this says that there are none. ECS: a service that gets another task definition has it in its primary deployment, where
the release scripts look; moto's deployment keeps the first for ever.
"""

import functools

from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.ecs.models import EC2ContainerServiceBackend
from moto.server import main

if not hasattr(ApplicationAutoScalingResponse, "list_tags_for_resource"):
    ApplicationAutoScalingResponse.list_tags_for_resource = lambda self: '{"Tags": {}}'

update_service = EC2ContainerServiceBackend.update_service


@functools.wraps(update_service)
def update_service_and_deployment(self, service_properties):
    service = update_service(self, service_properties)
    for deployment in service.deployments:
        deployment["taskDefinition"] = service.task_definition
    return service


EC2ContainerServiceBackend.update_service = update_service_and_deployment

if __name__ == "__main__":
    main()
