// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IDepositCollector} from "../../src/IDepositCollector.sol";
import {ISignatureTransfer} from "../../src/Permit2DepositCollector.sol";
import {MockToken} from "./Tokens.sol";

/// @notice MOCK. Takes whatever the payer approved to it, for anyone: only for the gas of a pulled deposit.
contract PullCollector is IDepositCollector {
    using SafeERC20 for IERC20;

    function collect(address payer, address token, uint256 amount, bytes32, bytes calldata) external {
        IERC20(token).safeTransferFrom(payer, msg.sender, amount);
    }
}

/// @notice MOCK. EIP-3009 without signatures and nonces: only for the gas of what is around them.
contract UnsignedAuthorizationToken is MockToken {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256,
        uint256,
        bytes32,
        uint8,
        bytes32,
        bytes32
    ) external {
        _transfer(from, to, value);
    }
}

/// @notice A token with EIP-3009 as it is.
contract AuthorizationToken is ERC3009 {
    constructor() ERC20("Mock", "MOCK") EIP712("Mock", "1") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @notice One that also takes signatures of contract wallets.
contract WalletAuthorizationToken is AuthorizationToken {
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes memory signature
    ) external {
        if (msg.sender != to) revert ERC3009InvalidSignature();
        bytes32 digest = _hashTypedDataV4(
            keccak256(
                abi.encode(
                    RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce
                )
            )
        );
        if (!SignatureChecker.isValidERC1271SignatureNow(from, digest, signature)) {
            revert ERC3009InvalidSignature();
        }
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }
}

/// @notice A token with permits.
contract PermitToken is ERC20Permit {
    constructor() ERC20("Mock", "MOCK") ERC20Permit("Mock") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @notice MOCK of Permit2's signature transfers: the same typed data, nonces and checks, in our own words.
/// @dev `checked` off leaves the signature out, for gas beside figures that were measured so.
contract MockPermit2 is ISignatureTransfer {
    using SafeERC20 for IERC20;

    mapping(address owner => mapping(uint256 word => uint256 bits)) public nonceBitmap;

    bool private immutable _checked;

    error Expired();
    error Used();
    error TooMuch();
    error BadSignature();

    constructor(bool checked) {
        _checked = checked;
    }

    function permitWitnessTransferFrom(
        PermitTransferFrom memory permit,
        SignatureTransferDetails calldata transferDetails,
        address owner,
        bytes32 witness,
        string calldata witnessTypeString,
        bytes calldata signature
    ) external {
        if (block.timestamp > permit.deadline) revert Expired();
        if (transferDetails.requestedAmount > permit.permitted.amount) revert TooMuch();
        uint256 bit = 1 << (permit.nonce & 0xff);
        uint256 word = nonceBitmap[owner][permit.nonce >> 8];
        if (word & bit != 0) revert Used();
        nonceBitmap[owner][permit.nonce >> 8] = word | bit;
        if (_checked) {
            bytes32 digest = digestOf(permit, msg.sender, witness, witnessTypeString);
            if (ECDSA.recover(digest, signature) != owner) revert BadSignature();
        }
        IERC20(permit.permitted.token)
            .safeTransferFrom(owner, transferDetails.to, transferDetails.requestedAmount);
    }

    function digestOf(
        PermitTransferFrom memory permit,
        address spender,
        bytes32 witness,
        string calldata witnessTypeString
    ) public view returns (bytes32) {
        bytes32 typehash = keccak256(
            abi.encodePacked(
                "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,",
                witnessTypeString
            )
        );
        bytes32 permitted = keccak256(
            abi.encode(keccak256("TokenPermissions(address token,uint256 amount)"), permit.permitted)
        );
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)"),
                keccak256("Permit2"),
                block.chainid,
                address(this)
            )
        );
        return MessageHashUtils.toTypedDataHash(
            domain,
            keccak256(abi.encode(typehash, permitted, spender, permit.nonce, permit.deadline, witness))
        );
    }
}
