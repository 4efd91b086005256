package hospital;

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.model.api.Include;
import ca.uhn.fhir.rest.api.Constants;
import ca.uhn.fhir.rest.api.EncodingEnum;
import ca.uhn.fhir.rest.api.MethodOutcome;
import ca.uhn.fhir.rest.api.SearchStyleEnum;
import ca.uhn.fhir.rest.api.SortOrderEnum;
import ca.uhn.fhir.rest.api.SortSpec;
import ca.uhn.fhir.rest.api.SummaryEnum;
import ca.uhn.fhir.rest.client.api.IGenericClient;
import ca.uhn.fhir.rest.client.interceptor.BearerTokenAuthInterceptor;
import ca.uhn.fhir.rest.server.exceptions.BaseServerResponseException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.CapabilityStatement;
import org.hl7.fhir.r4.model.Enumerations.AdministrativeGender;
import org.hl7.fhir.r4.model.IdType;
import org.hl7.fhir.r4.model.IntegerType;
import org.hl7.fhir.r4.model.Observation;
import org.hl7.fhir.r4.model.OperationOutcome;
import org.hl7.fhir.r4.model.Parameters;
import org.hl7.fhir.r4.model.Patient;
import org.hl7.fhir.r4.model.Resource;

/**
 * HAPI's generic client, asking a service that is not HAPI. Standard input: {"base", "token", "encoding" (xml or json),
 * "corrected" (id of an Observation with two versions), its "value", "group", "code" (a LOINC code), "types"}. Standard output: what
 * the client's user saw, as one JSON object. What the client throws is seen, too.
 */
public class HapiClient {
  private static final int PAGE = 40;

  private final ObjectNode saw = new ObjectMapper().createObjectNode();
  private final JsonNode given;
  private final IGenericClient client;

  private HapiClient(JsonNode given) {
    this.given = given;
    FhirContext r4 = FhirContext.forR4();
    r4.getRestfulClientFactory().setSocketTimeout(60_000);
    client = r4.newRestfulGenericClient(text("base"));
    client.setEncoding("xml".equals(text("encoding")) ? EncodingEnum.XML : EncodingEnum.JSON);
    client.registerInterceptor(new BearerTokenAuthInterceptor(text("token")));
  }

  public static void main(String[] arguments) throws Exception {
    var asking = new HapiClient(new ObjectMapper().readTree(System.in));
    asking.part("statement", asking::statement);
    asking.part("pages", asking::pages);
    asking.part("search", asking::search);
    asking.part("versions", asking::versions);
    asking.part("batch", asking::batch);
    asking.part("operations", asking::operations);
    asking.part("refusals", asking::refusals);
    asking.part("export", asking::export);
    System.out.println(asking.saw);
  }

  /** One part of what is asked; what it throws does not keep the others from being asked. */
  private void part(String name, Consumer<ObjectNode> asked) {
    ObjectNode seen = saw.putObject(name);
    try {
      asked.accept(seen);
    } catch (RuntimeException error) {
      seen.put("threw", error.toString());
    }
  }

  private void statement(ObjectNode seen) {
    var statement = client.capabilities().ofType(CapabilityStatement.class).execute();
    seen.put("software", statement.getSoftware().getName());
    seen.put("types", statement.getRestFirstRep().getResource().size());
  }

  private void pages(ObjectNode seen) {
    for (JsonNode type : given.get("types")) {
      Bundle first = client.search().forResource(type.asText()).count(PAGE).returnBundle(Bundle.class).execute();
      ids(seen.putArray(type.asText()), all(first));
    }
  }

  private void search(ObjectNode seen) {
    Bundle sorted =
        client
            .search()
            .forResource(Observation.class)
            .where(Observation.CODE.exactly().systemAndCode("http://loinc.org", text("code")))
            .sort(new SortSpec("date", SortOrderEnum.DESC))
            .include(Observation.INCLUDE_SUBJECT)
            .count(1000)
            .returnBundle(Bundle.class)
            .execute();
    seen.put("total", sorted.getTotal());
    ArrayNode dates = seen.putArray("dates");
    matches(sorted).forEach(one -> dates.add(((Observation) one).getEffectiveDateTimeType().getValueAsString()));
    ArrayNode included = seen.putArray("included");
    sorted.getEntry().stream()
        .filter(one -> one.getSearch().getMode() == Bundle.SearchEntryMode.INCLUDE)
        .forEach(one -> included.add(one.getResource().fhirType()));

    for (SearchStyleEnum style : List.of(SearchStyleEnum.GET, SearchStyleEnum.POST)) {
      Bundle found =
          client
              .search()
              .forResource(Observation.class)
              .where(Observation.SUBJECT.hasChainedProperty(Patient.GENDER.exactly().code("male")))
              .and(Observation.CATEGORY.exactly().code("laboratory"))
              .count(PAGE)
              .usingStyle(style)
              .returnBundle(Bundle.class)
              .execute();
      ids(seen.putArray("by " + style), all(found));
    }
    Bundle between =
        client
            .search()
            .forResource(Observation.class)
            .where(Observation.VALUE_QUANTITY.greaterThan().number(given.get("value").asLong() - 1).andNoUnits())
            .and(Observation.VALUE_QUANTITY.lessThan().number(given.get("value").asLong() + 1).andNoUnits())
            .returnBundle(Bundle.class)
            .execute();
    ids(seen.putArray("corrected"), all(between));
    Bundle reverse =
        client
            .search()
            .forResource(Patient.class)
            .revInclude(new Include("ResearchSubject:individual"))
            .returnBundle(Bundle.class)
            .execute();
    seen.put("reverse", reverse.getEntry().size() - matches(reverse).size());
    Bundle counted =
        client.search().forResource(Patient.class).summaryMode(SummaryEnum.COUNT).returnBundle(Bundle.class).execute();
    seen.put("counted", counted.getTotal());
    Bundle cut =
        client.search().forResource(Patient.class).elementsSubset("gender").returnBundle(Bundle.class).execute();
    var first = (Patient) matches(cut).get(0);
    boolean tagged = first.getMeta().getTag().stream().anyMatch(one -> one.getCode().equals("SUBSETTED"));
    seen.put("cut", first.hasGender() && !first.hasBirthDate() && tagged);
  }

  private void versions(ObjectNode seen) {
    String id = text("corrected");
    Observation now = client.read().resource(Observation.class).withId(id).execute();
    seen.put("now", now.getValueQuantity().getValue().toPlainString());
    seen.put("version", now.getIdElement().getVersionIdPart());
    Observation before = client.read().resource(Observation.class).withIdAndVersion(id, "1").execute();
    seen.put("before", before.getValueQuantity().getValue().toPlainString());
    var same = client.read().resource(Observation.class).withId(id).ifVersionMatches("2").returnResource(now).execute();
    seen.put("notSentAgain", same == now);
    var newer =
        client.read().resource(Observation.class).withId(id).ifVersionMatches("1").returnResource(before).execute();
    seen.put("sentAgain", newer.getIdElement().getVersionIdPart());
    Bundle history =
        client.history().onInstance(new IdType("Observation", id)).returnBundle(Bundle.class).execute();
    ArrayNode versions = seen.putArray("history");
    history.getEntry().forEach(one -> versions.add(one.getResource().getIdElement().getVersionIdPart()));
    seen.put("people", all(client.history().onType(Patient.class).returnBundle(Bundle.class).execute()).size());
    // every resource as it is written and read again: no digit may be lost on the way
    seen.put("text", client.getFhirContext().newJsonParser().encodeResourceToString(now));
  }

  private void batch(ObjectNode seen) {
    var batch = new Bundle().setType(Bundle.BundleType.BATCH);
    for (String url : List.of("Observation/" + text("corrected"), "Patient?_count=2", "Patient/nobody")) {
      batch.addEntry().getRequest().setMethod(Bundle.HTTPVerb.GET).setUrl(url);
    }
    Bundle answer = client.transaction().withBundle(batch).execute();
    ArrayNode statuses = seen.putArray("statuses");
    answer.getEntry().forEach(one -> statuses.add(one.getResponse().getStatus().substring(0, 3)));
    seen.put("read", answer.getEntry().get(0).getResource().getIdElement().getIdPart());
    seen.put("outcome", answer.getEntry().get(2).getResponse().getOutcome() instanceof OperationOutcome);
  }

  private void operations(ObjectNode seen) {
    Patient patient = somebody();
    IdType id = patient.getIdElement().toUnqualifiedVersionless();
    Parameters nothing = new Parameters();
    Parameters some = new Parameters();
    some.addParameter().setName("_count").setValue(new IntegerType(20));
    seen.put("byGet", matches(all(everything(id, nothing, true))).size());
    seen.put("byPost", matches(all(everything(id, nothing, false))).size());
    seen.put("inPages", matches(all(everything(id, some, false))).size());
    seen.put("valid", worst(client.validate().resource(patient).execute()));
    patient.addCommunication().setPreferred(true); // in no language, which it must have
    seen.put("broken", worst(client.validate().resource(patient).execute()));
  }

  private Bundle everything(IdType id, Parameters parameters, boolean get) {
    var asked = client.operation().onInstance(id).named("$everything").withParameters(parameters);
    return (get ? asked.useHttpGet() : asked).returnResourceType(Bundle.class).execute();
  }

  private void refusals(ObjectNode seen) {
    refusal(seen, "nobody", () -> client.read().resource(Patient.class).withId("nobody").execute());
    refusal(seen, "value", () -> client.search().byUrl("Patient?birthdate=2026-99").returnBundle(Bundle.class).execute());
    refusal(seen, "create", () -> client.create().resource(new Patient().setGender(AdministrativeGender.MALE)).execute());
    Patient patient = somebody();
    refusal(seen, "update", () -> client.update().resource(patient).execute());
    refusal(seen, "delete", () -> client.delete().resourceById("Patient", patient.getIdPart()).execute());
  }

  private void refusal(ObjectNode seen, String name, Supplier<?> asked) {
    ObjectNode one = seen.putObject(name);
    try {
      asked.get();
    } catch (BaseServerResponseException error) {
      one.put("thrown", error.getClass().getSimpleName());
      one.put("text", ((OperationOutcome) error.getOperationOutcome()).getIssueFirstRep().getDetails().getText());
    }
  }

  private void export(ObjectNode seen) {
    MethodOutcome begun =
        client
            .operation()
            .onInstance(new IdType("Group", text("group")))
            .named("$export")
            .withNoParameters(Parameters.class)
            .useHttpGet()
            .returnMethodOutcome()
            .withAdditionalHeader(Constants.HEADER_PREFER, "respond-async")
            .execute();
    seen.put("status", begun.getResponseStatusCode());
    seen.put("where", begun.getFirstResponseHeader("content-location").orElse(""));
  }

  private Patient somebody() {
    Bundle found = client.search().forResource(Patient.class).count(1).returnBundle(Bundle.class).execute();
    return (Patient) found.getEntryFirstRep().getResource();
  }

  private List<Bundle.BundleEntryComponent> all(Bundle first) {
    var found = new ArrayList<Bundle.BundleEntryComponent>(first.getEntry());
    for (Bundle page = first; page.getLink(Bundle.LINK_NEXT) != null; ) {
      page = client.loadPage().next(page).execute();
      found.addAll(page.getEntry());
    }
    return found;
  }

  private static List<Resource> matches(Bundle page) {
    return matches(page.getEntry());
  }

  private static List<Resource> matches(List<Bundle.BundleEntryComponent> entries) {
    return entries.stream()
        .filter(one -> one.getSearch().getMode() == Bundle.SearchEntryMode.MATCH)
        .map(Bundle.BundleEntryComponent::getResource)
        .toList();
  }

  private static void ids(ArrayNode into, List<Bundle.BundleEntryComponent> entries) {
    matches(entries).forEach(one -> into.add(one.getIdElement().getIdPart()));
  }

  private static String worst(MethodOutcome outcome) {
    var said = (OperationOutcome) outcome.getOperationOutcome();
    return said.getIssue().stream()
        .map(one -> one.getSeverity().toCode())
        .anyMatch(one -> one.equals("error") || one.equals("fatal")) ? "error" : "fine";
  }

  private String text(String name) {
    return given.get(name).asText();
  }
}
