"""OpenStack Nova starts instances on MicroVisor.

`driver` is what nova-compute loads; `requested` turns what Nova asks for into what the node's API takes, `states` what the node
says into what Nova shows; `client` is the API's other end, `events` what the node tells by itself. `ml2` binds Neutron's ports,
`phases` and `timeline` tie Nova's notifications to the node's timelines. `options` are the settings, `compute` the program.
"""
