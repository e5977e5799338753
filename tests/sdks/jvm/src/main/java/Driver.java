import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Arrays;

/**
 * Drives a JVM SDK: {@code Driver <java|kotlin> <write key> <base URL> <scenario> [one-by-one]}
 *
 * <p>With {@code one-by-one} the next call is made when the SDK has settled the one before (delivered it, or given it
 * up). The environment variable {@code FOREBAY_SCENARIOS} names the file of scenarios, and {@code FOREBAY_CA}, if set,
 * a PEM file with the certificates to trust.
 */
public final class Driver {
    private Driver() {}

    public static void main(String[] arguments) {
        try {
            run(arguments);
        } catch (Throwable error) {
            error.printStackTrace();
            System.exit(1);
        }
        // The SDKs keep threads, so the end has to be said.
        System.exit(0);
    }

    private static void run(String[] arguments) throws Exception {
        String writeKey = arguments[1];
        String url = arguments[2];
        boolean oneByOne = Arrays.asList(arguments).subList(4, arguments.length).contains("one-by-one");
        String authority = System.getenv("FOREBAY_CA");
        if (authority != null) {
            trust(Path.of(authority));
        }
        Sdk sdk = switch (arguments[0]) {
            case "java" -> new JavaSdk(writeKey, url);
            case "kotlin" -> new KotlinSdk(writeKey, url);
            default -> throw new IllegalArgumentException("no such SDK: " + arguments[0]);
        };

        JsonArray calls = calls(arguments[3]);
        for (int index = 0; index < calls.size(); index++) {
            if (oneByOne && index > 0) {
                sdk.settleOne();
            }
            sdk.make(calls.get(index).getAsJsonObject());
        }
        sdk.close();
    }

    private static JsonArray calls(String scenario) throws Exception {
        String scenarios = Files.readString(Path.of(System.getenv("FOREBAY_SCENARIOS")));
        return JsonParser.parseString(scenarios).getAsJsonObject().getAsJsonArray(scenario);
    }

    /** Makes every TLS client in this process trust these certificates alone; Java itself takes no PEM file. */
    private static void trust(Path authority) throws Exception {
        String password = "changeit";
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (InputStream pem = Files.newInputStream(authority)) {
            for (Certificate certificate : CertificateFactory.getInstance("X.509").generateCertificates(pem)) {
                store.setCertificateEntry("ca-" + store.size(), certificate);
            }
        }
        Path file = Files.createTempFile("forebay-sdk-", ".p12");
        file.toFile().deleteOnExit();
        try (OutputStream output = Files.newOutputStream(file)) {
            store.store(output, password.toCharArray());
        }
        System.setProperty("javax.net.ssl.trustStore", file.toString());
        System.setProperty("javax.net.ssl.trustStorePassword", password);
    }
}
