"""Knowledge that others wrote: any PlanDefinition with its Libraries, ValueSets and ActivityDefinitions, applied."""
